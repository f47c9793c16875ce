function bytes = read_bytes(path)
%READ_BYTES  Return a file as a row of uint8.
  [file, why] = fopen(path, 'r');
  if file < 0, error('conformance:file', '%s: cannot be read: %s', path, why); end
  bytes = fread(file, Inf, '*uint8')';
  fclose(file);
end
