# The program: `julia flux.jl` speaks the protocol on its pipes, `julia flux.jl FOLDER [LABEL]` answers a bundle.

import JSON

include("messages.jl")
include("play.jl")

function main(system, arguments)
    isempty(arguments) && return serve(system)
    folder = arguments[1]
    label = length(arguments) > 1 ? arguments[2] : describe(system)["name"]
    return answer_bundle(system, folder, label)
end

"Answer one request; what fails outside the layer's calls is the program's own fault."
function answer_to(system, request::Message)
    try
        if request.says["op"] == "describe"
            return Dict("implementation" => describe(system), "abilities" => String[]), Dict{String,Any}()
        end
        return play(system, request)
    catch error_
        error_ isa InterruptException && rethrow()
        trace = first(sprint(showerror, error_, catch_backtrace()), 4000)
        return fault("run", String(nameof(typeof(error_))), first(sprint(showerror, error_), 2000), trace)
    end
end

function fault(step, type, message, trace="")
    error_ = Dict("step" => step, "type" => type, "message" => message, "traceback" => trace)
    return Dict("error" => error_), Dict{String,Any}()
end

"Write an answer; of one that cannot travel, that it cannot."
function respond(io::IO, says, arrays, token)
    try
        write_message(io, says, arrays, token)
    catch error_
        error_ isa KeyError || rethrow()  # a type of elements that the protocol lacks; nothing is written yet
        write_message(io, fault("answer", "KeyError", sprint(showerror, error_))..., token)
    end
    return nothing
end

"Answer requests until `exit` or the end of the pipe; what anything prints goes to standard error."
function serve(system)
    out = Base.fdio(ccall(:dup, Cint, (Cint,), 1), true)
    redirect_stdout(stderr)
    while !eof(stdin)
        request = read_message(stdin)
        request.says["op"] == "exit" && return nothing
        says, arrays = answer_to(system, request)
        respond(out, says, arrays, request.token)
    end
    return nothing
end

"Answer what is not answered yet. A request that took an earlier start down is answered with a crash."
function answer_bundle(system, folder, label)
    occursin(r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", label) ||
        error("the label is $(repr(label)), expected letters, digits and any of _ . + -")
    requests = joinpath(folder, "requests")
    isdir(requests) || error("$folder: found no requests, expected the folder that `conformance export` wrote")
    answers = mkpath(joinpath(folder, "answers", label))
    started = joinpath(answers, "started")
    fallen = isfile(started) ? read(started, String) : ""
    names = sort(filter(endswith(".safetensors"), readdir(requests)))
    for name in names
        target = joinpath(answers, name)
        isfile(target) && continue
        request = open(read_message, joinpath(requests, name))
        if name == fallen
            says, arrays = fault("crash", "Crash", "the program ended while it ran this case")
        else
            write(started, name)
            says, arrays = answer_to(system, request)
        end
        # In one move, so that a file is there in full, or not at all.
        open(io -> respond(io, says, arrays, request.token), "$target.part", "w")
        mv("$target.part", target)
    end
    rm(started; force=true)
    println("$answers: $(length(names)) requests are answered")
    return nothing
end
