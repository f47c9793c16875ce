# Plays one case on a layer, call by call, and collects what comes of each; expects nothing.
#
# A system is a type with methods of `describe`, `dialect`, `lacks` and `create`; the layer that `create` returns has
# methods of `forward`, `get_state` and `put_state!`, and, where the system can, of the functions of `ABILITIES`.

"Whatever the layer has no means for."
struct Unsupported <: Exception
    what::String
end
Base.showerror(io::IO, error_::Unsupported) = print(io, error_.what)

"The forward of a backward failed."
struct NoForward <: Exception
    name::String
end
Base.showerror(io::IO, error_::NoForward) =
    print(io, "the forward `", error_.name, "` failed: there is nothing to go back from")

function describe end
function dialect end
function lacks end
function create end
"Return the output in mode `:train`, `:evaluate` or `:automatic`, and what gives gradients by name for a `dy`."
function forward end
function get_state end
function put_state! end

const ABILITIES = (
    :freeze!, :reload, :through_update, :forward_recomputed, :forward_plain, :hvp, :third, :jvp,
)
for name in ABILITIES
    @eval $name(layer, arguments...) = throw(Unsupported($("the layer of the adapter has no method $name")))
end

mutable struct Player
    layer::Any
    arrays::Dict{String,Any}
    forwards::Dict{String,Any}
    states::Dict{String,Any}
    yielded::Dict{String,Any}
    seconds::Float64
end

given(call, name) = get(call, name, nothing)
listed(call, name) = String.(something(given(call, name), []))

function play(system, request::Message)
    config, program = request.says["layer"], request.says["program"]
    player = Player(nothing, request.arrays, Dict(), Dict(), Dict(), 0.0)
    network = given(request.says, "network") !== nothing
    lacking = network ? "this program builds single layers, no networks" : lacks(system, config, program)
    created = raised_by() do
        network && throw(Unsupported(lacking))
        player.layer = timed(() -> create(system, config, request.arrays), player)
    end
    steps = created["raises"] === nothing ? [take_call(player, k, call) for (k, call) in enumerate(program)] : []
    says = Dict(
        "dialect" => dialect(system, config), "unsupported" => lacking, "create" => created, "steps" => steps,
        "seconds" => player.seconds,
    )
    return says, player.yielded
end

"Do what is asked and return its outcome: every exception but an interrupt is one."
function raised_by(act)
    try
        act()
        return Dict("raises" => nothing)
    catch error_
        error_ isa InterruptException && rethrow()
        type = String(nameof(typeof(error_)))
        return Dict("raises" => Dict("type" => type, "message" => first(sprint(showerror, error_), 2000)))
    end
end

function timed(act, player::Player)
    start = time()
    try
        return act()
    finally
        player.seconds += time() - start
    end
end

"Do one call, then read the state; the first error of the two is told."
function take_call(player::Player, number::Int, call)
    reply = raised_by(() -> timed(() -> ask(player, number, call), player))
    error_ = reply["raises"]
    error_ !== nothing && error_["type"] in ("Unsupported", "NoForward") && return reply
    wanted = filter(!=("y"), listed(call, "observe"))
    isempty(wanted) && return reply
    unread = raised_by(() -> read_state(player, number, wanted))
    return error_ === nothing ? unread : reply
end

function ask(player::Player, number::Int, call)
    layer, arrays = player.layer, player.arrays
    has(name) = given(call, name) !== nothing
    if has("through_update")
        first_, second = listed(call, "through_update")
        dx = through_update(layer, copy(arrays["x:$first_"]), copy(arrays["x:$second"]), arrays["dy:$number"])
        player.yielded["$number:dx_earlier"] = dx
    elseif has("backward")
        haskey(player.forwards, call["backward"]) || throw(NoForward(call["backward"]))
        backward(player, number, call, player.forwards[call["backward"]])
    elseif has("freeze")
        freeze!(layer, call["freeze"])
    elseif has("reload")
        player.layer = reload(layer)
    elseif has("replicas")
        throw(Unsupported("the layer of the adapter has no method forward_replicas"))
    elseif has("save")
        player.states[call["save"]] = Dict(name => copy(array) for (name, array) in get_state(layer))
    elseif has("restore")
        put_state!(layer, player.states[call["restore"]])
    elseif has("average")
        put_state!(layer, average([player.states[name] for name in listed(call, "average")]))
    elseif has("converge")
        player.yielded["$number:mse"] = converged(layer, arrays["x:$(call["converge"])"], call)
    elseif given(call, "masked") === true
        throw(Unsupported("the layer of the adapter has no method forward_masked"))
    elseif given(call, "folded") === true
        throw(Unsupported("the layer of the adapter has no method fold"))
    elseif given(call, "exported") === true
        throw(Unsupported("the layer of the adapter has no method export"))
    elseif !isempty(listed(call, "hvp")) || given(call, "third") === true || !isempty(something(given(call, "jvp"), []))
        derivatives(player, number, call)
    else
        any_forward(player, number, call)
    end
    return nothing
end

function any_forward(player::Player, number::Int, call)
    mode = only(mode for mode in (:train, :evaluate, :automatic) if given(call, String(mode)) !== nothing)
    x = copy(player.arrays["x:$(call[String(mode)])"])
    wanted = listed(call, "gradients")
    if given(call, "recompute") === true
        y, back = forward_recomputed(player.layer, x)
    elseif mode === :automatic && isempty(wanted)
        y, back = forward_plain(player.layer, x), nothing
    else
        y, back = forward(player.layer, x, mode)
    end
    name = given(call, "name")
    name === nothing || (player.forwards[name] = back)
    # A copy at once: the system may have given what later calls overwrite.
    "y" in listed(call, "observe") && (player.yielded["$number:y"] = copy(y))
    isempty(wanted) || backward(player, number, call, back)
    return nothing
end

function backward(player::Player, number::Int, call, back)
    wanted = listed(call, "gradients")
    for (name, gradient) in back(player.arrays["dy:$number"], wanted)
        player.yielded["$number:d$name"] = copy(gradient)
    end
    return nothing
end

function derivatives(player::Player, number::Int, call)
    mode = given(call, "train") !== nothing ? :train : :evaluate
    x = copy(player.arrays["x:$(call[String(mode)])"])
    at(name) = player.arrays["$name:$number"]
    names = listed(call, "hvp")
    if !isempty(names)
        along = Dict(name => at("v_$name") for name in names)
        for (name, product) in hvp(player.layer, x, mode, at("dy"), along)
            player.yielded["$number:hvp_$name"] = product
        end
    end
    given(call, "third") === true && (player.yielded["$number:third_x"] = third(player.layer, x, mode, at("dy"), at("v_x")))
    for order in something(given(call, "jvp"), [])
        quantity = order == 1 ? "jvp_y" : "jvp$(order)_y"
        player.yielded["$number:$quantity"] = jvp(player.layer, x, mode, at("v_x"), order)
    end
    return nothing
end

function read_state(player::Player, number::Int, wanted)
    state = get_state(player.layer)
    for name in wanted
        haskey(state, name) && (player.yielded["$number:$name"] = copy(state[name]))
    end
    return nothing
end

average(states) = Dict(name => sum(Float64.(state[name]) for state in states) ./ length(states) for name in keys(first(states)))

"Train on one batch again and again; return how far evaluating is from the first training output."
function converged(layer, x, call)
    evaluated() = Float64.(first(forward(layer, copy(x), :evaluate)))
    seen = [evaluated()]
    target = nothing
    for k in 1:call["times"]
        y = Float64.(first(forward(layer, copy(x), :train)))
        target = something(target, y)
        k % call["every"] == 0 && push!(seen, evaluated())
    end
    return [sum(abs2, y .- target) / length(y) for y in seen]
end
