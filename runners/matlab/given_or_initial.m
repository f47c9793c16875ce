function L = given_or_initial(config, arrays)
%GIVEN_OR_INITIAL  Return a layer of columns gamma, beta, running_mean, running_var: those of the case, else 1, 0, 0, 1.
  classes = struct('float64', 'double', 'float32', 'single');
  kind = classes.(config.param_dtype);
  L = struct('config', config);
  initial = struct('gamma', 1, 'beta', 0, 'running_mean', 0, 'running_var', 1);
  for name = fieldnames(initial)'
    L.(name{1}) = repmat(cast(initial.(name{1}), kind), config.channels, 1);
    if isKey(arrays, name{1}), L.(name{1}) = cast(arrays(name{1}), kind); end
  end
end
