function who = matlab_versions(name, documentation)
%MATLAB_VERSIONS  Return the answer to `describe`: the release labels the column, the toolbox stands beside it.
  toolbox = ver('nnet');
  if isempty(toolbox)
    error('conformance:toolbox', ['Deep Learning Toolbox is not installed; to try the plumbing without it: ' ...
          'answer_bundle(folder, layer_standin())']);
  end
  versions = struct('matlab', ['R' version('-release')], 'deep_learning_toolbox', toolbox.Version);
  who = struct('name', name, 'versions', versions, 'execution', 'eager', 'device', 'cpu', ...
               'documentation', documentation);
end
