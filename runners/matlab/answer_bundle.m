function answer_bundle(folder, layer, label)
%ANSWER_BUNDLE  Answer every request of a bundle that is not answered yet.
%   ANSWER_BUNDLE(FOLDER) asks the function batchnorm of Deep Learning Toolbox.
%   ANSWER_BUNDLE(FOLDER, LAYER) asks another one: layer_batchnorm(), layer_dlnetwork(), layer_standin().
%   ANSWER_BUNDLE(FOLDER, LAYER, LABEL) writes to FOLDER/answers/LABEL instead of the name of the layer.
%
%   Runs in MATLAB R2022a or later and in GNU Octave 6 or later. What is answered stays; a program that was
%   stopped goes on where it was, and a request that took MATLAB down is answered with a crash.
  if nargin < 2, layer = layer_batchnorm(); end
  if nargin < 3
    who = describe(layer);
    label = who.name;
  end
  if isempty(regexp(label, '^[A-Za-z0-9][A-Za-z0-9_.+-]*$', 'once'))
    error('conformance:usage', 'the label is ''%s'', expected letters, digits and any of _ . + -', label);
  end
  requests = dir(fullfile(folder, 'requests', '*.safetensors'));
  if isempty(requests)
    error('conformance:usage', '%s: found no requests, expected the folder that `conformance export` wrote', folder);
  end
  answers = fullfile(folder, 'answers', label);
  if ~exist(answers, 'dir'), mkdir(answers); end
  fallen = name_in(fullfile(answers, 'started'));
  names = sort({requests.name});
  for k = 1:numel(names)
    target = fullfile(answers, names{k});
    if exist(target, 'file'), continue, end
    request = read_message(fullfile(folder, 'requests', names{k}));
    if strcmp(fallen, names{k})
      answer = fault('crash', 'Crash', 'the program ended while it ran this case');
    else
      write_bytes(fullfile(answers, 'started'), uint8(names{k}));
      answer = answer_to(request, layer);
    end
    answer.token = request.token;
    write_message(target, answer);
  end
  if exist(fullfile(answers, 'started'), 'file'), delete(fullfile(answers, 'started')); end
  fprintf('%s: %d requests are answered\n', answers, numel(names));
end

function answer = answer_to(request, layer)
% Return the answer to one request; what fails outside the layer's calls is the program's own fault.
  try
    if strcmp(request.message.op, 'describe')
      described = struct('implementation', describe(layer));
      described.abilities = {};
      answer = struct('text', jsonencode(described), 'arrays', {{}});
    else
      answer = play_case(request, layer);
    end
  catch err
    answer = fault('run', err.identifier, err.message);
  end
end

function who = describe(layer)
  ask = layer.describe;
  who = ask();
end

function answer = fault(step, type, text)
  if isempty(type), type = 'error'; end
  said = struct('error', struct('step', step, 'type', type, 'message', text));
  answer = struct('text', jsonencode(said), 'arrays', {{}});
end

function name = name_in(path)
% Return the name of the request that an earlier start was at when it ended; '' if there is none.
  name = '';
  if exist(path, 'file')
    name = char(read_bytes(path));
  end
end
