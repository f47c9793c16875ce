function write_bytes(path, bytes)
%WRITE_BYTES  Write a file under another name and rename it, so that it is there in full or not at all.
  part = [path '.part'];
  [file, why] = fopen(part, 'w');
  if file < 0, error('conformance:file', '%s: cannot be written: %s', part, why); end
  written = fwrite(file, bytes, 'uint8');
  fclose(file);
  if written ~= numel(bytes)
    error('conformance:file', '%s: only %d of %d bytes could be written; is the disk full?', part, written, numel(bytes));
  end
  [moved, why] = movefile(part, path);
  if ~moved, error('conformance:file', '%s: cannot be put in place: %s', path, why); end
end
