function request = read_message(path)
%READ_MESSAGE  Return a message of the protocol: message (a struct), token, and arrays (a containers.Map by name).
%   The bytes of a C-order array (N, C, H, W) are those of a column-major (W, H, C, N): nothing is moved.
%   float16 and bfloat16, which MATLAB lacks, arrive as uint16, bit by bit.
  bytes = read_bytes(path);
  if numel(bytes) < 8, error('conformance:message', '%s: torn: %d bytes', path, numel(bytes)); end
  length_ = double(typecast(bytes(1:8), 'uint64'));
  if numel(bytes) < 8 + length_, error('conformance:message', '%s: torn: the header is cut off', path); end
  header = native2unicode(bytes(9:8 + length_), 'UTF-8');
  data = bytes(9 + length_:end);
  metadata = metadata_of(jsondecode(header));
  request.message = jsondecode(metadata.message);
  request.token = '';
  if isfield(metadata, 'token'), request.token = metadata.token; end
  request.arrays = containers.Map('KeyType', 'char', 'ValueType', 'any');
  % By the text: jsondecode gives entries such as "x:a" other names. Quotes of the message are escaped, these not.
  entry = ['"([^"\\]+)"\s*:\s*\{\s*"dtype"\s*:\s*"(\w+)"\s*,\s*"shape"\s*:\s*\[([^\]]*)\]\s*,\s*' ...
           '"data_offsets"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*\]\s*\}'];
  found = regexp(header, entry, 'tokens');
  for k = 1:numel(found)
    [name, dtype, shape, first, last] = found{k}{:};
    part = data(str2double(first) + 1:str2double(last));
    request.arrays(name) = array_of(part, dtype, sscanf(strrep(shape, ',', ' '), '%d')');
  end
end

function metadata = metadata_of(header)
% Return the entry "__metadata__", which MATLAB calls x__metadata__ and Octave as it is.
  names = fieldnames(header);
  metadata = header.(names{find(~cellfun(@isempty, strfind(names, '__metadata__')), 1)});
end

function array = array_of(bytes, dtype, shape)
  codes = struct('F64', 'double', 'F32', 'single', 'F16', 'uint16', 'BF16', 'uint16', 'BOOL', 'uint8', ...
                 'I64', 'int64', 'I32', 'int32', 'I16', 'int16', 'I8', 'int8', ...
                 'U64', 'uint64', 'U32', 'uint32', 'U16', 'uint16', 'U8', 'uint8');
  array = reshape(typecast(bytes, codes.(dtype)), [fliplr(shape), ones(1, 2 - numel(shape))]);
  if strcmp(dtype, 'BOOL'), array = logical(array); end
end
