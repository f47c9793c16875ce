function [X, back] = rows_of(x, config)
%ROWS_OF  Return an array of size (spatial..., C, N) as a row for each channel, and what undoes that.
  dims = size(x);
  dims = [dims, ones(1, config.rank - numel(dims))];
  M = prod(dims(1:config.rank - 2)); C = dims(config.rank - 1); N = dims(config.rank);
  X = reshape(permute(reshape(x, M, C, N), [2 1 3]), C, M * N);
  back = @(Y) reshape(permute(reshape(Y, C, M, N), [2 1 3]), dims);
end
