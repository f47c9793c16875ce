// The data of the page: an index for the matrix, and details that are unpacked when a cell is opened.
const index = JSON.parse(document.getElementById('index').textContent);
const words = index.words.map(([name, code, glyph, meaning]) => ({ name, code, glyph, meaning }));
const byCode = new Map(words.map((word) => [word.code, word]));
const columns = index.implementations.map((row, position) => ({
  ...row,
  position,
  execution: row.execution || 'eager',
  device: row.device || 'cpu',
  provenance: row.provenance || 'executed',
  version: row.id.split('@').slice(1).join('@').split(':')[0],
  verdicts: index.verdicts[position],
  ratios: index.ratios[position],
}));
const cases = index.cases.map(([id, fact, clauses, dtype, mode], position) => {
  const bracket = id.indexOf('[');
  const path = bracket < 0 ? id : id.slice(0, bracket);
  const slash = path.lastIndexOf('/');
  return {
    id, fact, clauses, dtype, mode, position,
    file: slash < 0 ? '' : path.slice(0, slash),
    name: path.slice(slash + 1),
    parameters: bracket < 0 ? '' : id.slice(bracket + 1, -1).split(',').join(', '),
    text: `${id} ${fact} ${clauses.join(' ')}`.toLowerCase(),
    agrees: columns.every((column) => column.verdicts[position] === 'a'),
  };
});
const rowOf = new Map(cases.map((one) => [one.id, one.position]));
const columnOf = new Map(columns.map((one) => [one.id, one.position]));
const groups = [...new Set(cases.map((one) => one.file))];
const unpacked = new Map();
const gravity = (code) => (code === '.' ? index.severity.length : index.severity.indexOf(code));

const verdictAt = (row, column) => byCode.get(columns[column].verdicts[row]);

// What variants joined by ` + ` stand for, a sentence each.
function sentencesOf(variants) {
  return (variants || '').split(' + ').map((name) => index.variants[name]).filter(Boolean).join(' ');
}

function recordsOf(deviation) {
  return (deviation || '').split(' + ').filter((name) => Object.hasOwn(index.deviations, name)).map((name) => ({ name, ...index.deviations[name] }));
}

function labelOf(column) {
  const unusual = [];
  if (column.execution !== 'eager') unusual.push(column.execution);
  if (column.device !== 'cpu') unusual.push(column.device);
  return [column.name, column.version, ...unusual].join(' ');
}

function ratioText(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return { inf: '∞', '-inf': '−∞' }[value] || value;
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e4) return String(Number(value.toPrecision(2)));
  const [mantissa, exponent] = value.toExponential(1).split('e');
  return `${mantissa.replace('.0', '')}e${Number(exponent)}`;
}

function numberText(value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'string') return ratioText(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential().replace('e+', 'e') : String(value);
}

async function unpack(position) {
  const holder = document.getElementById(`details-${position}`);
  if (holder.dataset.encoding === 'json') return JSON.parse(holder.textContent);
  const packed = Uint8Array.from(atob(holder.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}

// The details of a case: its source, and per column { explanation, seconds, quantities }, null where it was not run.
async function detailsOf(row) {
  const position = Math.floor(row / index.casesPerChunk);
  if (!unpacked.has(position)) unpacked.set(position, unpack(position));
  const chunk = await unpacked.get(position);
  const at = row - position * index.casesPerChunk;
  const shared = (place) => (place < 0 ? null : chunk.pool[place]);
  const cells = chunk.cells[at].map((cell) => cell && {
    explanation: shared(cell[0]) || '', seconds: cell[1], quantities: cell[2].map((one) => quantityOf(one, shared)),
  });
  return { source: chunk.sources[at], inputs: chunk.inputs[at], cells };
}

function quantityOf(list, shared) {
  const [step, name, clause, code, dtype, shape, ratio, bound, plainBound, error, maxError, worst, start,
    expected, observed, declared, declaredRatio, discriminates, variant, deviation, open, explanation, raises, message, channels, samples] = list;
  return {
    step, ratio, bound, plainBound, error, maxError, start, declaredRatio, discriminates,
    word: byCode.get(code),
    name: shared(name) || '', clause: shared(clause) || '', dtype: shared(dtype) || '', shape: shared(shape) || [],
    worst: shared(worst), expected: shared(expected), observed: shared(observed), declared: shared(declared),
    variant: shared(variant), deviation: shared(deviation), open: shared(open), explanation: shared(explanation),
    raises: shared(raises), message: shared(message), channels: shared(channels), samples: shared(samples),
  };
}

