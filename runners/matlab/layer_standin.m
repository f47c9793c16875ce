function layer = layer_standin()
%LAYER_STANDIN  Batch normalisation in plain code, to try the plumbing without Deep Learning Toolbox.
%   The formulas of the definition, second and third derivatives by truncated Taylor series along the direction.
  layer = struct('describe', @describe, 'dialect', @dialect, 'lacks', @lacks, 'create', @create, ...
                 'forward', @forward, 'state', @state, 'put_state', @put_state, 'derivatives', @derivatives, ...
                 'through_update', @through_update, 'reload', @reload);
end

function who = describe()
  who = struct('name', 'matlab-stand-in', 'versions', struct('interpreter', version()), 'execution', 'eager', ...
               'device', 'cpu', 'documentation', 'runners/matlab/README.md');
end

function options = dialect(~)
  options = struct('running_variance', 'population', 'update_gradient', 'differentiable', 'untracked', 'batch');
end

function why = lacks(config, program)
  why = lacks_everywhere(config, program);
end

function L = create(config, arrays)
  if ~isempty(lacks_everywhere(config, {})), error('conformance:Unsupported', lacks_everywhere(config, {})); end
  L = given_or_initial(config, arrays);
end

function [y, L, g] = forward(L, x, mode, dy, wanted)
  [X, back] = rows_of(x, L.config);
  tracked = L.config.tracked;
  batch = strcmp(mode, 'train') || ~tracked;
  [m, v] = statistics(L, X, batch);
  r = 1 ./ sqrt(v + L.config.epsilon);
  xhat = (X - m) .* r;
  y = cast(back(L.gamma .* xhat + L.beta), class(x));
  if ~isempty(wanted)
    D = rows_of(dy, L.config);
    g.gamma = cast(sum(D .* xhat, 2), class(L.running_mean));
    g.beta = cast(sum(D, 2), class(L.running_mean));
    if batch
      dx = L.gamma .* r .* (D - mean(D, 2) - xhat .* mean(D .* xhat, 2));
    else
      dx = L.gamma .* r .* D;
    end
    g.x = cast(back(dx), class(x));
  end
  if tracked && batch, L = moved(L, m, v); end
end

function found = state(L)
  found = struct();
  if L.config.tracked
    found = struct('running_mean', L.running_mean, 'running_var', L.running_var);
  end
end

function L = moved(L, m, v)
  a = L.config.momentum;
  L.running_mean = cast((1 - a) * L.running_mean + a * m, class(L.running_mean));
  L.running_var = cast((1 - a) * L.running_var + a * v, class(L.running_var));
end

function [m, v] = statistics(L, X, batch)
  m = L.running_mean; v = L.running_var;
  if batch
    m = mean(X, 2); v = mean((X - m) .^ 2, 2);
  end
end

function L = reload(L)
  path = [tempname() '.mat'];
  saved = L; %#ok<NASGU>
  save(path, 'saved', '-v7');
  loaded = load(path);
  delete(path);
  L = loaded.saved;
end

function [dx, L] = through_update(L, first, second, dy)
  [X, back] = rows_of(first, L.config);
  [~, L] = forward(L, first, 'train', [], {});
  D = rows_of(dy, L.config);
  Y = rows_of(second, L.config);
  r = 1 ./ sqrt(L.running_var + L.config.epsilon);
  by_mean = -L.gamma .* r .* sum(D, 2);
  by_var = -0.5 * L.gamma .* r .^ 3 .* sum(D .* (Y - L.running_mean), 2);
  n = size(X, 2);
  dx = cast(back(L.config.momentum / n * (by_mean + 2 * by_var .* (X - mean(X, 2)))), class(first));
end

function L = put_state(L, state)
  L.running_mean = cast(state.running_mean, class(L.running_mean));
  L.running_var = cast(state.running_var, class(L.running_var));
end

function found = derivatives(L, x, mode, dy, along, names, third)
  [X, back] = rows_of(x, L.config);
  X = series(X, along, 'x', L.config);
  G = {L.gamma, zeros(size(L.gamma)), 0 * L.gamma};
  if isfield(along, 'gamma') && any(strcmp('gamma', names)), G{2} = along.gamma; end
  D = series(rows_of(dy, L.config), along, 'dy', L.config);
  found = struct();
  if ~isempty(names)
    [gx, gg, y] = gradient_series(L, X, G, D, mode);
    all = struct('x', back(gx{2}), 'gamma', gg{2}, 'dy', back(y{2}));
    for k = 1:numel(names)
      found.(['hvp_' names{k}]) = cast(all.(names{k}), class(x));
    end
    if any(strcmp('gamma', names)), found.hvp_gamma = cast(gg{2}, class(L.running_mean)); end
  end
  if third
    D = series(rows_of(dy, L.config), struct(), 'dy', L.config);
    gx = gradient_series(L, X, {L.gamma, 0 * L.gamma, 0 * L.gamma}, D, mode);
    found.third_x = cast(back(2 * gx{3}), class(x));
  end
end

function s = series(start, along, name, config)
  s = {start, 0 * start, 0 * start};
  if isfield(along, name), s{2} = rows_of(along.(name), config); end
end

function [gx, gg, y] = gradient_series(L, X, G, D, mode)
% Return the gradients of sum(y .* dy) in x and gamma, and y, as series in the step along the direction.
  batch = strcmp(mode, 'train') || ~L.config.tracked;
  centre = @(s) cellfun(@(c) mean(c, 2), s, 'UniformOutput', false);
  minus = @(s, t) cellfun(@(a, b) a - b, s, t, 'UniformOutput', false);
  if batch
    M = centre(X); d = minus(X, M); V = centre(times_(d, d));
  else
    M = {L.running_mean, 0, 0}; d = minus(X, M); V = {L.running_var, 0 * L.running_var, 0 * L.running_var};
  end
  V{1} = V{1} + L.config.epsilon;
  R = inverse_root(V);
  xhat = times_(d, R);
  GR = times_(G, R);
  y = times_(G, xhat);
  y{1} = y{1} + L.beta;
  gg = cellfun(@(c) sum(c, 2), times_(D, xhat), 'UniformOutput', false);
  inner = D;
  if batch, inner = minus(minus(D, centre(D)), times_(xhat, centre(times_(D, xhat)))); end
  gx = times_(GR, inner);
end

function p = times_(s, t)
  p = {s{1} .* t{1}, s{1} .* t{2} + s{2} .* t{1}, s{1} .* t{3} + s{2} .* t{2} + s{3} .* t{1}};
end

function r = inverse_root(s)
  r = {1 ./ sqrt(s{1}), 0, 0};
  r{2} = -s{2} .* r{1} ./ (2 * s{1});
  r{3} = 3 / 8 * s{2} .^ 2 .* r{1} ./ s{1} .^ 2 - s{3} .* r{1} ./ (2 * s{1});
end
