function layer = layer_batchnorm()
%LAYER_BATCHNORM  The function batchnorm of Deep Learning Toolbox, differentiated by dlgradient.
%   A layer of this folder is a struct of function handles; its layers L are values:
%     describe()                             name, versions, execution, device
%     dialect(config), lacks(config, program)  what is declared; why a case cannot be asked, or ''
%     create(config, arrays)                 L, with the parameters and the state of the case
%     forward(L, x, mode, dy, wanted)        [y, L, g]: the output, the layer after it, and by name those
%                                            gradients of sum(y .* dy) that WANTED lists
%     state(L), put_state(L, state)          struct of running_mean and running_var; L with it
%   and, where it has them:
%     derivatives(L, x, mode, dy, along, names, third)   struct of hvp_x, hvp_gamma, hvp_dy, third_x
%     through_update(L, first, second, dy)   [dx, L]
%     reload(L), freeze(L, on)               L
%   Arrays have the size (spatial..., C, N), which is 'SSCB' for images; statistics and parameters C-by-1.
  layer = struct('describe', @describe, 'dialect', @dialect, 'lacks', @lacks_everywhere, 'create', @create, ...
                 'forward', @forward, 'state', @state, 'put_state', @put_state, 'derivatives', @derivatives, ...
                 'through_update', @through_update, 'reload', @reload);
end

function who = describe()
  who = matlab_versions('matlab-batchnorm', 'https://www.mathworks.com/help/deeplearning/ref/dlarray.batchnorm.html');
end

function options = dialect(~)
  options = struct('running_variance', 'population', 'momentum', 'new');
end

function L = create(config, arrays)
  why = lacks_everywhere(config, {});
  if ~isempty(why), error('conformance:Unsupported', '%s', why); end
  L = given_or_initial(config, arrays);
end

function [y, L, g] = forward(L, x, mode, dy, wanted)
  variables = all_variables(L, x, dy);
  [y, mean_, var_, found] = dlfeval(@called, variables, L.config, mode, wanted);
  y = extractdata(y);
  if strcmp(mode, 'train') && L.config.tracked
    L.running_mean = extractdata(mean_(:));
    L.running_var = extractdata(var_(:));
  end
  g = plain(found);
end

function [y, mean_, var_, found] = called(v, config, mode, wanted)
  [y, mean_, var_] = normalised(v, config, mode);
  found = struct();
  if isempty(wanted), return, end
  loss = sum(y .* v.dy, 'all');
  inputs = cellfun(@(name) v.(name), wanted(:)', 'UniformOutput', false);
  [found_{1:numel(wanted)}] = dlgradient(loss, inputs{:});
  for k = 1:numel(wanted), found.(wanted{k}) = found_{k}; end
end

function [y, mean_, var_] = normalised(v, config, mode)
% Call batchnorm as its users do: three outputs train, one output evaluates.
  options = {'Epsilon', config.epsilon};
  mean_ = v.running_mean; var_ = v.running_var;
  if strcmp(mode, 'train') && config.tracked
    [y, mean_, var_] = batchnorm(v.x, v.beta, v.gamma, v.running_mean, v.running_var, options{:}, ...
                                 'MeanDecay', config.momentum, 'VarianceDecay', config.momentum);
  elseif strcmp(mode, 'train')
    [y, ~, ~] = batchnorm(v.x, v.beta, v.gamma, options{:});
  elseif config.tracked
    y = batchnorm(v.x, v.beta, v.gamma, v.running_mean, v.running_var, options{:});
  else
    error('conformance:Unsupported', 'batchnorm evaluates with the statistics that it is given: there are none');
  end
end

function found = state(L)
  found = struct();
  if L.config.tracked
    found = struct('running_mean', L.running_mean, 'running_var', L.running_var);
  end
end

function L = put_state(L, state)
  L.running_mean = cast(state.running_mean, class(L.running_mean));
  L.running_var = cast(state.running_var, class(L.running_var));
end

function found = derivatives(L, x, mode, dy, along, names, third)
  variables = all_variables(L, x, dy);
  found = plain(dlfeval(@differentiated, variables, L.config, mode, directions(L, along), names, third));
end

function found = differentiated(v, config, mode, along, names, third)
  found = struct();
  loss = sum(normalised(v, config, mode) .* v.dy, 'all');
  if ~isempty(names)
    inputs = cellfun(@(name) v.(name), names(:)', 'UniformOutput', false);
    [first{1:numel(names)}] = dlgradient(loss, inputs{:}, 'EnableHigherDerivatives', true);
    product = 0;
    for k = 1:numel(names), product = product + sum(first{k} .* along.(names{k}), 'all'); end
    [second{1:numel(names)}] = dlgradient(product, inputs{:}, 'EnableHigherDerivatives', third);
    for k = 1:numel(names), found.(['hvp_' names{k}]) = second{k}; end
  end
  if third
    gx = dlgradient(loss, v.x, 'EnableHigherDerivatives', true);
    hx = dlgradient(sum(gx .* along.x, 'all'), v.x, 'EnableHigherDerivatives', true);
    found.third_x = dlgradient(sum(hx .* along.x, 'all'), v.x);
  end
end

function [dx, L] = through_update(L, first, second, dy)
  variables = all_variables(L, first, dy);
  variables.later = labelled(second, L.config);
  [dx, mean_, var_] = dlfeval(@updated, variables, L.config);
  dx = extractdata(dx);
  L.running_mean = extractdata(mean_(:));
  L.running_var = extractdata(var_(:));
end

function [dx, mean_, var_] = updated(v, config)
  [~, mean_, var_] = normalised(v, config, 'train');
  later = struct('x', v.later, 'gamma', v.gamma, 'beta', v.beta, 'running_mean', mean_, 'running_var', var_);
  dx = dlgradient(sum(normalised(later, config, 'evaluate') .* v.dy, 'all'), v.x);
end

function L = reload(L)
  path = [tempname() '.mat'];
  save(path, 'L');
  loaded = load(path);
  delete(path);
  L = loaded.L;
end

function v = all_variables(L, x, dy)
% Return the inputs of a call as dlarray, the images with their labels.
  v = struct('x', labelled(x, L.config), 'gamma', dlarray(L.gamma), 'beta', dlarray(L.beta), ...
             'running_mean', dlarray(L.running_mean), 'running_var', dlarray(L.running_var));
  if ~isempty(dy), v.dy = labelled(dy, L.config); end
end

function along = directions(L, along)
  for name = fieldnames(along)'
    if strcmp(name{1}, 'gamma')
      along.gamma = dlarray(along.gamma);
    else
      along.(name{1}) = labelled(along.(name{1}), L.config);
    end
  end
end

function x = labelled(x, config)
  x = dlarray(x, [repmat('S', 1, config.rank - 2) 'CB']);
end

function found = plain(found)
  for name = fieldnames(found)'
    found.(name{1}) = extractdata(found.(name{1}));
  end
end
