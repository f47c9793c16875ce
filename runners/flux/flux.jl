# Flux' BatchNorm, put to the suite: `julia --project=. flux.jl [FOLDER [LABEL]]`.

import Flux, ForwardDiff, Zygote
import Serialization

include("answer.jl")

struct FluxSystem end

mutable struct FluxLayer
    model::Flux.BatchNorm
    config::Any
end

describe(::FluxSystem) = Dict(
    "name" => "flux", "execution" => "eager", "device" => "cpu",
    "versions" => Dict("flux" => string(pkgversion(Flux))),
    "settings" => Dict("julia" => string(VERSION), "zygote" => string(pkgversion(Zygote))),
    "documentation" => "https://fluxml.ai/Flux.jl/stable/reference/models/layers/#Flux.BatchNorm",
)

dialect(::FluxSystem, config) = Dict(
    "running_variance" => "sample", "constants" => config["param_dtype"] == "float64" ? "float32 new" : "own",
    "statistics_gradient" => "leaf", "update_gradient" => "detached", "recomputation" => "again", "frozen" => "A",
    "untracked" => "batch",
)

function lacks(::FluxSystem, config, program)
    config["momentum"] === nothing && return "the momentum is a number: there is no cumulative average"
    "bfloat16" in (config["dtype"], config["param_dtype"]) && return "this program has no bfloat16"
    any(call -> given(call, "masked") === true, program) && return "there are no masks"
    any(call -> given(call, "replicas") !== nothing, program) && return "statistics are not synchronised"
    any(call -> given(call, "folded") === true, program) && return "nothing folds it into the layer before"
    any(call -> given(call, "exported") === true, program) && return "exporting is not asked of it"
    return nothing
end

const FLOATS = Dict("float64" => Float64, "float32" => Float32, "float16" => Float16)

function create(system::FluxSystem, config, arrays)
    why = lacks(system, config, [])
    why === nothing || throw(Unsupported(why))
    # As its users do: constants in single precision, whatever f64 makes of the arrays.
    model = Flux.BatchNorm(
        config["channels"]; affine=config["gamma"] || config["beta"], track_stats=config["tracked"],
        eps=Float32(config["epsilon"]), momentum=Float32(config["momentum"]),
    )
    type = FLOATS[config["param_dtype"]]
    type === Float64 && (model = Flux.f64(model))
    type === Float16 && (model = Flux.f16(model))
    for (name, array) in (("gamma", model.γ), ("beta", model.β), ("running_mean", model.μ), ("running_var", model.σ²))
        array !== nothing && haskey(arrays, name) && copyto!(array, arrays[name])
    end
    return FluxLayer(model, config)
end

function set_mode!(model, mode::Symbol)
    mode === :train && return Flux.trainmode!(model)
    mode === :evaluate && return Flux.testmode!(model)
    return Flux.testmode!(model, :auto)
end

called(model, x) = model(x)

function forward(layer::FluxLayer, x, mode::Symbol)
    set_mode!(layer.model, mode)
    y, back = Zygote.pullback(called, layer.model, x)
    return y, gradients_by_name(layer.model, x, back)
end

"Return the output of a plain call, outside any gradient: the mode is Flux' to find out."
function forward_plain(layer::FluxLayer, x)
    set_mode!(layer.model, :automatic)
    return layer.model(x)
end

function forward_recomputed(layer::FluxLayer, x)
    set_mode!(layer.model, :train)
    y, back = Zygote.pullback((model, x) -> Zygote.checkpointed(called, model, x), layer.model, x)
    return y, gradients_by_name(layer.model, x, back)
end

function gradients_by_name(model, x, back)
    fields = Dict("gamma" => :γ, "beta" => :β, "running_mean" => :μ, "running_var" => :σ²)
    return function (dy, wanted)
        of_model, of_x = back(dy)
        of_model = of_model isa Ref ? of_model[] : of_model
        found = Dict{String,Any}()
        for name in wanted
            if name == "x"
                found[name] = something(of_x, zero(x))
            else
                own = getfield(model, fields[name])
                gradient = of_model === nothing ? nothing : get(of_model, fields[name], nothing)
                # `nothing` is how Zygote says zero; what the layer lacks has no gradient at all.
                own === nothing || (found[name] = something(gradient, zero(own)))
            end
        end
        return found
    end
end

function get_state(layer::FluxLayer)
    layer.config["tracked"] || return Dict{String,Any}()
    return Dict("running_mean" => layer.model.μ, "running_var" => layer.model.σ²)
end

function put_state!(layer::FluxLayer, state)
    copyto!(layer.model.μ, state["running_mean"])
    copyto!(layer.model.σ², state["running_var"])
    return nothing
end

"Freeze by the gesture that users know: the optimiser leaves the parameters alone."
function freeze!(layer::FluxLayer, on::Bool)
    rules = Flux.setup(Flux.Descent(), layer.model)
    on ? Flux.freeze!(rules) : Flux.thaw!(rules)
    return nothing
end

"Write the state to bytes, and load it into a new layer."
function reload(layer::FluxLayer)
    bytes = IOBuffer()
    Serialization.serialize(bytes, Flux.state(layer.model))
    fresh = create(FluxSystem(), layer.config, Dict{String,Any}())
    Flux.loadmodel!(fresh.model, Serialization.deserialize(seekstart(bytes)))
    return fresh
end

function through_update(layer::FluxLayer, earlier, later, dy)
    model = layer.model
    _, back = Zygote.pullback(earlier) do x
        Zygote.ChainRulesCore.ignore_derivatives(() -> set_mode!(model, :train))
        model(x)
        Zygote.ChainRulesCore.ignore_derivatives(() -> set_mode!(model, :evaluate))
        model(later)
    end
    return something(only(back(dy)), zero(earlier))
end

with_scale(m::Flux.BatchNorm, γ) =
    Flux.BatchNorm(m.λ, m.β, γ, m.μ, m.σ², m.ϵ, m.momentum, m.affine, m.track_stats, m.active, m.chs)

"Differentiate the gradient of sum(y .* dy), times the directions, once more: Zygote over Zygote."
function hvp(layer::FluxLayer, x, mode::Symbol, dy, along)
    set_mode!(layer.model, mode)
    model, names = layer.model, collect(keys(along))
    point = Dict("x" => x, "gamma" => model.γ, "dy" => dy)
    loss(x, γ, dy) = sum((γ === nothing ? model : with_scale(model, γ))(x) .* dy)
    at = Tuple(point[name] for name in names)
    filled(values) = Tuple(name in names ? values[findfirst(==(name), names)] : point[name] for name in ("x", "gamma", "dy"))
    slope(values...) = Zygote.gradient((inner...) -> loss(filled(inner)...), values...)
    product(values...) = sum(sum(g .* along[name]) for (name, g) in zip(names, slope(values...)))
    products = Zygote.gradient(product, at...)
    return Dict(name => something(found, zero(point[name])) for (name, found) in zip(names, products))
end

slope_along(layer::FluxLayer, x, dy, direction, t) =
    only(Zygote.gradient(x -> sum(layer.model(x) .* dy), x .+ t .* direction))

"Differentiate the gradient twice along the direction: forward mode over Zygote."
function third(layer::FluxLayer, x, mode::Symbol, dy, direction)
    set_mode!(layer.model, mode)
    first_(t) = ForwardDiff.derivative(s -> slope_along(layer, x, dy, direction, s), t)
    return ForwardDiff.derivative(first_, zero(eltype(x)))
end

function jvp(layer::FluxLayer, x, mode::Symbol, direction, order)
    set_mode!(layer.model, mode)
    moved(t) = layer.model(x .+ t .* direction)
    order == 1 && return ForwardDiff.derivative(moved, zero(eltype(x)))
    return ForwardDiff.derivative(t -> ForwardDiff.derivative(moved, t), zero(eltype(x)))
end

abspath(PROGRAM_FILE) == @__FILE__() && main(FluxSystem(), ARGS)
