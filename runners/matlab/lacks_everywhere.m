function why = lacks_everywhere(config, program)
%LACKS_EVERYWHERE  Say what no layer of this folder can be asked; '' if nothing stands in the way.
  why = '';
  if any(strcmp(config.dtype, {'float16', 'bfloat16'})) || any(strcmp(config.param_dtype, {'float16', 'bfloat16'}))
    why = 'MATLAB has no 16-bit floating point arithmetic';
  elseif isempty(config.momentum)
    why = 'the decay is a number: there is no cumulative average';
  else
    for k = 1:numel(program)
      call = program{k};
      if ~isempty(call.jvp), why = 'dlgradient is reverse mode: there is no forward mode'; end
      if call.recompute, why = 'there is no checkpointing'; end
      if call.folded, why = 'nothing folds it into the layer before'; end
      if call.exported, why = 'exporting is not asked of it'; end
      if call.masked, why = 'there are no masks'; end
      if ~isempty(call.replicas), why = 'statistics are not synchronised'; end
    end
  end
end
