# Messages of the protocol: safetensors file images, read from and written to any stream.
#
# The bytes of a C-order array (N, C, H, W) are those of a Julia array (W, H, C, N): nothing is moved.

"A message: what it says, its arrays by name, and the token that its answer has to carry."
struct Message
    says::AbstractDict
    arrays::Dict{String,Any}
    token::String
end

# bfloat16 arrives bit by bit: what is asked in it is answered as unsupported.
const TYPES = Dict{String,DataType}(
    "F64" => Float64, "F32" => Float32, "F16" => Float16, "BF16" => UInt16, "BOOL" => Bool,
    "I64" => Int64, "I32" => Int32, "I16" => Int16, "I8" => Int8,
    "U64" => UInt64, "U32" => UInt32, "U16" => UInt16, "U8" => UInt8,
)
const CODES = Dict{DataType,String}(type => code for (code, type) in TYPES if code != "BF16")

function read_message(io::IO)
    length_ = ltoh(read(io, UInt64))
    header = JSON.parse(String(exactly(io, length_)))
    metadata = header["__metadata__"]
    entries = Dict(name => entry for (name, entry) in header if name != "__metadata__")
    total = maximum((entry["data_offsets"][2] for entry in values(entries)); init=0)
    data = exactly(io, total)
    arrays = Dict{String,Any}(name => array_of(entry, data) for (name, entry) in entries)
    return Message(JSON.parse(metadata["message"]), arrays, get(metadata, "token", ""))
end

function exactly(io::IO, count::Integer)
    bytes = read(io, count)
    length(bytes) == count || error("torn: $(length(bytes)) of $count bytes")
    return bytes
end

function array_of(entry, data::Vector{UInt8})
    first_, last_ = entry["data_offsets"]
    shape = reverse(Tuple(Int.(entry["shape"])))
    return reshape(collect(reinterpret(TYPES[entry["dtype"]], data[(first_ + 1):last_])), shape)
end

"Write an answer: `says` is what becomes JSON, `arrays` are in Julia's order of dimensions."
function write_message(io::IO, says::AbstractDict, arrays::AbstractDict, token::String)
    header = Dict{String,Any}("__metadata__" => Dict("message" => JSON.json(says), "token" => token))
    parts = Vector{UInt8}[]
    start = 0
    for (name, array) in arrays
        bytes = collect(reinterpret(UInt8, vec(collect(array))))
        stop = start + length(bytes)
        header[name] = Dict(
            "dtype" => CODES[eltype(array)], "shape" => collect(reverse(size(array))), "data_offsets" => [start, stop]
        )
        push!(parts, bytes)
        start = stop
    end
    text = Vector{UInt8}(codeunits(JSON.json(header)))
    append!(text, fill(UInt8(' '), mod(-length(text), 8)))
    write(io, htol(UInt64(length(text))), text)
    foreach(part -> write(io, part), parts)
    flush(io)
    return nothing
end
