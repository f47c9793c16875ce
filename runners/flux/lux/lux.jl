# Lux' BatchNorm, put to the suite: `julia --project=lux lux/lux.jl [FOLDER [LABEL]]`.

import ForwardDiff, Lux, Random, Zygote
import Serialization

include("../answer.jl")

struct LuxSystem end

mutable struct LuxLayer
    layer::Lux.BatchNorm
    parameters::NamedTuple
    state::NamedTuple
    config::Any
end

describe(::LuxSystem) = Dict(
    "name" => "lux", "execution" => "eager", "device" => "cpu",
    "versions" => Dict("lux" => string(pkgversion(Lux))),
    "settings" => Dict("julia" => string(VERSION), "zygote" => string(pkgversion(Zygote))),
    "documentation" => "https://lux.csail.mit.edu/stable/api/Lux/layers#Lux.BatchNorm",
)

dialect(::LuxSystem, config) = Dict(
    "running_variance" => "sample", "constants" => config["param_dtype"] == "float64" ? "float32 new" : "own",
    "update_gradient" => "detached", "untracked" => "batch",
)

function lacks(::LuxSystem, config, program)
    config["momentum"] === nothing && return "the momentum is a number: there is no cumulative average"
    "bfloat16" in (config["dtype"], config["param_dtype"]) && return "this program has no bfloat16"
    any(call -> given(call, "masked") === true, program) && return "there are no masks"
    any(call -> given(call, "replicas") !== nothing, program) && return "statistics are not synchronised"
    any(call -> given(call, "folded") === true, program) && return "nothing folds it into the layer before"
    any(call -> given(call, "exported") === true, program) && return "exporting is not asked of it"
    return nothing
end

const FLOATS = Dict("float64" => Float64, "float32" => Float32, "float16" => Float16)

function create(system::LuxSystem, config, arrays)
    why = lacks(system, config, [])
    why === nothing || throw(Unsupported(why))
    layer = Lux.BatchNorm(
        config["channels"]; affine=config["gamma"] || config["beta"], track_stats=config["tracked"],
        epsilon=Float32(config["epsilon"]), momentum=Float32(config["momentum"]),
    )
    type = FLOATS[config["param_dtype"]]
    parameters, state = Lux.setup(Random.default_rng(), layer)
    given_(tree, names) = NamedTuple(
        field => haskey(arrays, name) ? type.(arrays[name]) : type.(tree[field]) for (field, name) in names
        if haskey(tree, field)
    )
    parameters = given_(parameters, (:scale => "gamma", :bias => "beta"))
    state = merge(state, given_(state, (:running_mean => "running_mean", :running_var => "running_var")))
    return LuxLayer(layer, parameters, state, config)
end

in_mode(state, mode::Symbol) = mode === :train ? Lux.trainmode(state) : Lux.testmode(state)

function forward(layer::LuxLayer, x, mode::Symbol)
    mode === :automatic && throw(Unsupported("the layer of the adapter has no method forward_automatic"))
    called(x, parameters, state) = Lux.apply(layer.layer, x, parameters, state)
    before, parameters = in_mode(layer.state, mode), layer.parameters
    (y, after), back = Zygote.pullback(called, x, parameters, before)
    layer.state = after  # the caller's part: a state that is not put back has not moved
    return y, (dy, wanted) -> by_name(wanted, back((dy, nothing)), x, parameters, before)
end

function by_name(wanted, gradients, x, parameters, state)
    of_x, of_parameters, of_state = gradients
    found = Dict{String,Any}()
    "x" in wanted && (found["x"] = something(of_x, zero(x)))
    for (name, field, own, all) in (
        ("gamma", :scale, parameters, of_parameters), ("beta", :bias, parameters, of_parameters),
        ("running_mean", :running_mean, state, of_state), ("running_var", :running_var, state, of_state),
    )
        name in wanted && haskey(own, field) || continue
        # `nothing` is how Zygote says zero.
        gradient = all === nothing ? nothing : get(all, field, nothing)
        found[name] = something(gradient, zero(own[field]))
    end
    return found
end

function get_state(layer::LuxLayer)
    layer.config["tracked"] || return Dict{String,Any}()
    return Dict("running_mean" => layer.state.running_mean, "running_var" => layer.state.running_var)
end

function put_state!(layer::LuxLayer, state)
    type = eltype(layer.state.running_mean)
    moved = (running_mean=type.(state["running_mean"]), running_var=type.(state["running_var"]))
    layer.state = merge(layer.state, moved)
    return nothing
end

function reload(layer::LuxLayer)
    bytes = IOBuffer()
    Serialization.serialize(bytes, (layer.parameters, layer.state))
    parameters, state = Serialization.deserialize(seekstart(bytes))
    return LuxLayer(layer.layer, parameters, state, layer.config)
end

function through_update(layer::LuxLayer, earlier, later, dy)
    function both(x)
        _, moved = Lux.apply(layer.layer, x, layer.parameters, Lux.trainmode(layer.state))
        return first(Lux.apply(layer.layer, later, layer.parameters, Lux.testmode(moved)))
    end
    _, back = Zygote.pullback(both, earlier)
    layer.state = last(Lux.apply(layer.layer, earlier, layer.parameters, Lux.trainmode(layer.state)))
    return something(only(back(dy)), zero(earlier))
end

plain(layer::LuxLayer, mode::Symbol) =
    (x, parameters) -> first(Lux.apply(layer.layer, x, parameters, in_mode(layer.state, mode)))

"Differentiate the gradient of sum(y .* dy), times the directions, once more: Zygote over Zygote."
function hvp(layer::LuxLayer, x, mode::Symbol, dy, along)
    call, names = plain(layer, mode), collect(keys(along))
    scale = get(layer.parameters, :scale, nothing)
    point = Dict("x" => x, "gamma" => scale, "dy" => dy)
    with_scale(γ) = γ === nothing ? layer.parameters : merge(layer.parameters, (scale=γ,))
    loss(x, γ, dy) = sum(call(x, with_scale(γ)) .* dy)
    filled(values) = Tuple(name in names ? values[findfirst(==(name), names)] : point[name] for name in ("x", "gamma", "dy"))
    slope(values...) = Zygote.gradient((inner...) -> loss(filled(inner)...), values...)
    product(values...) = sum(sum(g .* along[name]) for (name, g) in zip(names, slope(values...)))
    products = Zygote.gradient(product, (point[name] for name in names)...)
    return Dict(name => something(found, zero(point[name])) for (name, found) in zip(names, products))
end

"Differentiate the gradient twice along the direction: forward mode over Zygote."
function third(layer::LuxLayer, x, mode::Symbol, dy, direction)
    call = plain(layer, mode)
    slope(t) = only(Zygote.gradient(x -> sum(call(x, layer.parameters) .* dy), x .+ t .* direction))
    return ForwardDiff.derivative(t -> ForwardDiff.derivative(slope, t), zero(eltype(x)))
end

function jvp(layer::LuxLayer, x, mode::Symbol, direction, order)
    call = plain(layer, mode)
    moved(t) = call(x .+ t .* direction, layer.parameters)
    order == 1 && return ForwardDiff.derivative(moved, zero(eltype(x)))
    return ForwardDiff.derivative(t -> ForwardDiff.derivative(moved, t), zero(eltype(x)))
end

abspath(PROGRAM_FILE) == @__FILE__() && main(LuxSystem(), ARGS)
