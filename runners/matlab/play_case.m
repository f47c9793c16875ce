function answer = play_case(request, layer)
%PLAY_CASE  Play one case on a layer, call by call, and collect what comes of each; expects nothing.
%   LAYER is a struct of function handles, see layer_batchnorm. Its layers are values: a call returns the layer
%   that it leaves, so a backward that comes later repeats its forward on the layer and input of that time.
  config = request.message.layer;
  program = calls_of(request.message.program);
  ran.dialect = layer.dialect(config);
  ran.unsupported = layer.lacks(config, program);
  network = isfield(request.message, 'network') && ~isempty(request.message.network);
  if network, ran.unsupported = 'this program builds single layers, no networks'; end
  if isempty(ran.unsupported), ran = rmfield(ran, 'unsupported'); end
  yielded = {};
  forwards = containers.Map('KeyType', 'char', 'ValueType', 'any');
  clock_ = tic;
  steps = {};
  try
    if network, unsupported('network'); end
    built = layer.create(config, request.arrays);
    ran.create = fine();
  catch err
    ran.create = raised(err);
    program = {};
  end
  for number = 1:numel(program)
    call = program{number};
    try
      [built, forwards, new] = take(layer, built, forwards, request.arrays, call, number, config);
      yielded = [yielded new]; %#ok<AGROW>
      steps{end + 1} = fine(); %#ok<AGROW>
    catch err
      steps{end + 1} = raised(err); %#ok<AGROW>
      if any(strcmp(err.identifier, {'conformance:Unsupported', 'conformance:NoForward'})), continue, end
    end
    try
      yielded = [yielded observed(layer, built, call, number)]; %#ok<AGROW>
    catch err
      steps{end} = raised(err);
    end
  end
  ran.steps = steps;
  ran.seconds = toc(clock_);
  answer = struct('text', jsonencode(ran), 'arrays', {yielded});
end

function program = calls_of(program)
% Return the calls as a cell, with every field that a message may leave out.
  if isstruct(program), program = num2cell(program(:)); end
  defaults = struct('train', [], 'evaluate', [], 'backward', [], 'through_update', [], 'freeze', [], 'reload', [], ...
                    'replicas', [], 'automatic', [], 'save', [], 'restore', [], 'average', [], 'converge', [], ...
                    'times', 1, 'every', 1, 'masked', false, 'recompute', false, 'folded', false, ...
                    'exported', false, 'name', [], 'gradients', [], 'hvp', [], 'third', false, 'jvp', [], 'observe', []);
  for k = 1:numel(program)
    call = defaults;
    for name = fieldnames(program{k})'
      call.(name{1}) = program{k}.(name{1});
    end
    program{k} = call;
  end
end

function [built, forwards, new] = take(layer, built, forwards, arrays, call, number, config)
% Do one call; return the layer that it leaves, and what it yields.
  new = {};
  rank = config.rank;
  if ~isempty(call.through_update)
    dy = arrays(sprintf('dy:%d', number));
    [first, second] = call.through_update{:};
    method = ability(layer, 'through_update');
    [dx, built] = method(built, arrays(['x:' first]), arrays(['x:' second]), dy);
    new{end + 1} = entry(number, 'dx_earlier', dx, rank);
  elseif ~isempty(call.backward)
    if ~isKey(forwards, call.backward)
      error('conformance:NoForward', 'the forward `%s` failed: there is nothing to go back from', call.backward);
    end
    kept = forwards(call.backward);
    new = backward(layer, kept, arrays(sprintf('dy:%d', number)), call, number, rank);
  elseif ~isempty(call.freeze)
    method = ability(layer, 'freeze');
    built = method(built, logical(call.freeze));
  elseif ~isempty(call.reload)
    method = ability(layer, 'reload');
    built = method(built);
  elseif ~isempty(call.replicas)
    unsupported('forward_replicas');
  elseif ~isempty(call.automatic)
    unsupported('forward_automatic');
  elseif ~isempty(call.save)
    forwards(['state ' call.save]) = layer.state(built);
  elseif ~isempty(call.restore)
    built = layer.put_state(built, forwards(['state ' call.restore]));
  elseif ~isempty(call.average)
    built = layer.put_state(built, averaged(forwards, cellstr(call.average)));
  elseif ~isempty(call.converge)
    [built, mse] = converged(layer, built, arrays(['x:' call.converge]), call);
    new{end + 1} = entry(number, 'mse', mse, 1);
  elseif call.masked
    unsupported('forward_masked');
  elseif call.folded
    unsupported('fold');
  elseif call.exported
    unsupported('export');
  elseif call.recompute
    unsupported('forward_recomputed');
  elseif higher(call)
    new = derivatives(layer, built, arrays, call, number, rank);
  else
    [built, forwards, new] = forward(layer, built, forwards, arrays, call, number, rank);
  end
end

function state = averaged(forwards, names)
% Return the average, in double precision, of the states that were kept under these names.
  state = struct('running_mean', 0, 'running_var', 0);
  for name = names(:)'
    kept = forwards(['state ' name{1}]);
    state.running_mean = state.running_mean + double(kept.running_mean) / numel(names);
    state.running_var = state.running_var + double(kept.running_var) / numel(names);
  end
end

function [built, mse] = converged(layer, built, x, call)
% Train on one batch again and again; return how far evaluating is from the first training output.
  ask = layer.forward;
  seen = {ask(built, x, 'evaluate', [], {})};
  for k = 1:call.times
    [y, built] = ask(built, x, 'train', [], {});
    if k == 1, target = double(y); end
    if mod(k, call.every) == 0, seen{end + 1} = ask(built, x, 'evaluate', [], {}); end %#ok<AGROW>
  end
  mse = cellfun(@(y) mean((double(y(:)) - target(:)) .^ 2), seen);
end

function [after, forwards, new] = forward(layer, built, forwards, arrays, call, number, rank)
  [mode, x] = input_of(call, arrays);
  new = {};
  kept = struct('layer', built, 'x', x, 'mode', mode);
  wanted = cellstr_of(call.gradients);
  if isempty(wanted)
    [y, after] = layer.forward(built, x, mode, [], {});
  else
    [y, after, found] = layer.forward(built, x, mode, arrays(sprintf('dy:%d', number)), wanted);
    new = gradients(found, wanted, number, rank);
  end
  if ~isempty(call.name), forwards(call.name) = kept; end
  if any(strcmp('y', cellstr_of(call.observe))), new{end + 1} = entry(number, 'y', y, rank); end
end

function new = backward(layer, kept, dy, call, number, rank)
% Go back from an earlier forward: it is done again, and the state that it leaves is nobody's.
  wanted = cellstr_of(call.gradients);
  [~, ~, found] = layer.forward(kept.layer, kept.x, kept.mode, dy, wanted);
  new = gradients(found, wanted, number, rank);
end

function new = gradients(found, wanted, number, rank)
  new = {};
  for k = 1:numel(wanted)
    if ~isfield(found, wanted{k}), continue, end
    if strcmp(wanted{k}, 'x')
      new{end + 1} = entry(number, 'dx', found.x, rank); %#ok<AGROW>
    else
      new{end + 1} = entry(number, ['d' wanted{k}], found.(wanted{k}), 1); %#ok<AGROW>
    end
  end
end

function new = derivatives(layer, built, arrays, call, number, rank)
  [mode, x] = input_of(call, arrays);
  if ~isempty(call.jvp), unsupported('jvp'); end
  names = cellstr_of(call.hvp);
  along = struct();
  for name = unique([names(:); repmat({'x'}, double(call.third), 1)])'
    along.(name{1}) = arrays(sprintf('v_%s:%d', name{1}, number));
  end
  dy = arrays(sprintf('dy:%d', number));
  method = ability(layer, 'derivatives');
  found = method(built, x, mode, dy, along, names, logical(call.third));
  new = {};
  for name = fieldnames(found)'
    if strcmp(name{1}, 'hvp_gamma')
      new{end + 1} = entry(number, name{1}, found.(name{1}), 1); %#ok<AGROW>
    else
      new{end + 1} = entry(number, name{1}, found.(name{1}), rank); %#ok<AGROW>
    end
  end
end

function new = observed(layer, built, call, number)
  new = {};
  wanted = setdiff(cellstr_of(call.observe), {'y'});
  if isempty(wanted), return, end
  state = layer.state(built);
  for k = 1:numel(wanted)
    if isfield(state, wanted{k}), new{end + 1} = entry(number, wanted{k}, state.(wanted{k}), 1); end %#ok<AGROW>
  end
end

function [mode, x] = input_of(call, arrays)
  if ~isempty(call.train)
    mode = 'train'; x = arrays(['x:' call.train]);
  else
    mode = 'evaluate'; x = arrays(['x:' call.evaluate]);
  end
end

function yes = higher(call)
% Tell whether the call asks for higher derivatives.
  yes = ~isempty(call.hvp) || ~isempty(call.jvp) || call.third;
end

function item = entry(number, name, array, rank)
% Return what write_message takes, with the shape of the canonical layout.
  if ~isreal(array)
    error('conformance:Complex', '%s is complex: the root of a negative number was taken', name);
  end
  if rank == 1
    shape = numel(array);
  else
    shape = size(array);
    shape = fliplr([shape, ones(1, rank - numel(shape))]);
  end
  item = {sprintf('%d:%s', number, name), array, shape};
end

function method = ability(layer, name)
  if ~isfield(layer, name), unsupported(name); end
  method = layer.(name);
end

function unsupported(name)
  error('conformance:Unsupported', 'the layer of the adapter has no method %s', name);
end

function names = cellstr_of(value)
% Return names as a cell: an empty list is decoded as an empty matrix.
  if isempty(value), names = {}; else, names = cellstr(value); end
end

function reply = fine()
  reply = struct('raises', []);
  reply.raises = NaN;  % which jsonencode writes as null
end

function reply = raised(err)
  type = strrep(err.identifier, 'conformance:', '');
  if isempty(type), type = 'error'; end
  reply = struct('raises', struct('type', type, 'message', err.message));
end
