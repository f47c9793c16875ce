function write_message(path, answer)
%WRITE_MESSAGE  Write a message of the protocol: text (JSON), token, and arrays, a cell of {name, array, shape}.
%   SHAPE is that of the canonical layout (N, C, ...): MATLAB drops a last dimension of length one.
  header = ['{"__metadata__":{"message":' jsonencode(answer.text) ',"token":' jsonencode(answer.token) '}'];
  data = cell(1, numel(answer.arrays));
  start = 0;
  for k = 1:numel(answer.arrays)
    [name, array, shape] = answer.arrays{k}{:};
    [code, data{k}] = plain(array);
    header = [header sprintf(',"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}', name, code, ...
              strjoin(arrayfun(@(n) sprintf('%d', n), shape, 'UniformOutput', false), ','), ...
              start, start + numel(data{k}))]; %#ok<AGROW>
    start = start + numel(data{k});
  end
  header = unicode2native([header '}'], 'UTF-8');
  header = [header(:)' repmat(uint8(' '), 1, mod(-numel(header), 8))];
  write_bytes(path, [typecast(uint64(numel(header)), 'uint8'), header, data{:}]);
end

function [code, bytes] = plain(array)
  codes = struct('double', 'F64', 'single', 'F32', 'logical', 'BOOL', 'int64', 'I64', 'int32', 'I32', 'int16', 'I16', ...
                 'int8', 'I8', 'uint64', 'U64', 'uint32', 'U32', 'uint16', 'U16', 'uint8', 'U8');
  code = codes.(class(array));
  if islogical(array), array = uint8(array); end
  bytes = reshape(typecast(array(:)', 'uint8'), 1, []);
end
