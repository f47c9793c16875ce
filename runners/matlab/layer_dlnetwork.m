function layer = layer_dlnetwork()
%LAYER_DLNETWORK  batchNormalizationLayer in a dlnetwork, called by forward and predict; see layer_batchnorm.
%   The state moves where it is put back, net.State = state: this is the user's part, and is done here.
  layer = struct('describe', @describe, 'dialect', @dialect, 'lacks', @lacks, 'create', @create, ...
                 'forward', @forward_, 'state', @state, 'put_state', @put_state, 'derivatives', @derivatives, 'reload', @reload, ...
                 'freeze', @freeze);
end

function who = describe()
  address = 'https://www.mathworks.com/help/deeplearning/ref/nnet.cnn.layer.batchnormalizationlayer.html';
  who = matlab_versions('matlab', address);
end

function options = dialect(~)
  options = struct('running_variance', 'population', 'momentum', 'new', 'frozen', 'A');
end

function why = lacks(config, program)
  why = lacks_everywhere(config, program);
  if isempty(why) && ~config.tracked
    why = 'the layer always keeps statistics';
  end
end

function L = create(config, arrays)
  why = lacks(config, {});
  if ~isempty(why), error('conformance:Unsupported', '%s', why); end
  bn = batchNormalizationLayer('Name', 'bn', 'Epsilon', config.epsilon, 'MeanDecay', config.momentum, ...
                               'VarianceDecay', config.momentum);
  L = struct('config', config, 'given', given_or_initial(config, arrays));
  sizes = [2 * ones(1, config.rank - 2), config.channels, 2];
  example = dlarray(zeros(sizes, class_of(config.dtype)), labels(config));
  L.net = initialize(dlnetwork(bn, 'Initialize', false), example);
  L.net.Learnables = filled(L.net.Learnables, struct('Offset', L.given.beta, 'Scale', L.given.gamma));
  L.net.State = filled(L.net.State, struct('TrainedMean', L.given.running_mean, ...
                                           'TrainedVariance', L.given.running_var));
end

function values = filled(values, given)
% Return a table of learnables or of state with the given columns, in the size that the network keeps them in.
  for k = 1:height(values)
    column = given.(char(values.Parameter(k)));
    values.Value{k} = dlarray(reshape(column, size(values.Value{k})));
  end
end

function [y, L, g] = forward_(L, x, mode, dy, wanted)
  input = dlarray(x, labels(L.config));
  if ~isempty(dy), dy = dlarray(dy, labels(L.config)); end
  [y, after, found] = dlfeval(@called, L.net, input, mode, dy, wanted);
  y = extractdata(y);
  L.net.State = after;
  g = plain(found);
end

function [y, after, found] = called(net, x, mode, dy, wanted)
  [y, after] = asked(net, x, mode);
  found = struct();
  if isempty(wanted), return, end
  [gx, learnables] = dlgradient(sum(y .* dy, 'all'), x, net.Learnables);
  all_ = struct('x', gx, 'gamma', value_of(learnables, 'Scale'), 'beta', value_of(learnables, 'Offset'));
  for k = 1:numel(wanted)  % predict takes the state as constants: it has no gradient to give
    if isfield(all_, wanted{k}), found.(wanted{k}) = all_.(wanted{k}); end
  end
end

function [y, after] = asked(net, x, mode)
  after = net.State;
  if strcmp(mode, 'train')
    [y, after] = forward(net, x);
  else
    y = predict(net, x);
  end
end

function found = state(L)
  found = struct('running_mean', extractdata(reshape(value_of(L.net.State, 'TrainedMean'), [], 1)), ...
                 'running_var', extractdata(reshape(value_of(L.net.State, 'TrainedVariance'), [], 1)));
end

function L = put_state(L, state)
  kind = class(L.given.running_mean);
  L.net.State = filled(L.net.State, struct('TrainedMean', cast(state.running_mean, kind), ...
                                           'TrainedVariance', cast(state.running_var, kind)));
end

function found = derivatives(L, x, mode, dy, along, names, third)
  lead = {labels(L.config)};
  for name = fieldnames(along)'
    if ~strcmp(name{1}, 'gamma'), along.(name{1}) = dlarray(along.(name{1}), lead{:}); end
  end
  found = plain(dlfeval(@differentiated, L.net, dlarray(x, lead{:}), mode, dlarray(dy, lead{:}), along, names, third));
end

function found = differentiated(net, x, mode, dy, along, names, third)
  found = struct();
  loss = sum(asked(net, x, mode) .* dy, 'all');
  [gx, learnables, gdy] = dlgradient(loss, x, net.Learnables, dy, 'EnableHigherDerivatives', true);
  if ~isempty(names)
    product = 0;
    if any(strcmp('x', names)), product = product + sum(gx .* along.x, 'all'); end
    if any(strcmp('dy', names)), product = product + sum(gdy .* along.dy, 'all'); end
    if any(strcmp('gamma', names))
      scale = value_of(learnables, 'Scale');
      product = product + sum(scale .* reshape(dlarray(along.gamma), size(scale)), 'all');
    end
    [hx, learnables, hdy] = dlgradient(product, x, net.Learnables, dy, 'EnableHigherDerivatives', third);
    all_ = struct('x', hx, 'gamma', value_of(learnables, 'Scale'), 'dy', hdy);
    for k = 1:numel(names), found.(['hvp_' names{k}]) = all_.(names{k}); end
  end
  if third
    hx = dlgradient(sum(gx .* along.x, 'all'), x, 'EnableHigherDerivatives', true);
    found.third_x = dlgradient(sum(hx .* along.x, 'all'), x);
  end
end

function L = reload(L)
  path = [tempname() '.mat'];
  save(path, 'L');
  loaded = load(path);
  delete(path);
  L = loaded.L;
end

function L = freeze(L, on)
% Freeze by the gesture that users know: no learning of offset and scale.
  for name = {'Offset', 'Scale'}
    L.net = setLearnRateFactor(L.net, 'bn', name{1}, double(~on));
  end
end

function value = value_of(values, name)
  value = values.Value{strcmp(string(values.Parameter), name)};
end

function text = labels(config)
  text = [repmat('S', 1, config.rank - 2) 'CB'];
end

function kind = class_of(dtype)
  kinds = struct('float64', 'double', 'float32', 'single');
  kind = kinds.(dtype);
end

function found = plain(found)
  for name = fieldnames(found)'
    found.(name{1}) = extractdata(found.(name{1}));
  end
end
