// Small pictures of the error: element by element around the worst, by channel and by sample.
const PICTURE = { left: 62, top: 14, height: 96, step: 62 };

function drawPictures(quantity) {
  const { expected, observed, declared, shape, start } = quantity;
  const pictures = [];
  if (expected && observed && quantity.bound !== null) {
    const errors = observed.map((value, at) => gapOf(expected[at], value));
    const others = declared ? observed.map((value, at) => gapOf(declared[at], value)) : null;
    if ([...errors, ...(others || [])].some((error) => error !== 0)) {
      pictures.push(drawBars(`Error of ${quantity.name}, element by element`, errors, others, errors.map((_, at) => positionOf(start + at, shape)), quantity.bound, 'bound'));
    }
  }
  for (const [name, ratios] of [['channel', quantity.channels], ['sample', quantity.samples]]) {
    if (ratios) pictures.push(drawBars(`Largest error over bound by ${name}`, ratios.map(Number), null, ratios.map((_, at) => String(at)), 1, 'bound'));
  }
  return pictures;
}

// Bars on a logarithmic axis with a line at `line`; `others` are hollow marks at the same places.
function drawBars(title, values, others, labels, line, lineName) {
  const all = [...values, ...(others || []), Number(line)].filter((value) => Number.isFinite(value) && value > 0).map(Math.log10);
  const top = Math.ceil(Math.max(...all, -300) + 0.05);
  const bottom = Math.max(Math.floor(Math.min(...all) - 0.05), top - 12);
  const { left, height, step } = PICTURE;
  const wide = Math.min(step, Math.max(28, 520 / values.length));
  const width = left + wide * values.length + 12;
  const y = (value) => PICTURE.top + (Number.isNaN(value) || value === Infinity ? 0
    : height * Math.min(1, Math.max(0, value > 0 ? (top - Math.log10(value)) / (top - bottom) : 1)));
  const parts = [];
  const every = Math.max(1, Math.ceil((top - bottom) / 3));
  for (let decade = top; decade >= bottom; decade -= every) {
    const at = y(10 ** decade);
    parts.push(drawn('line', { x1: left, x2: width - 8, y1: at, y2: at, class_: 'tick' }),
      drawn('text', { x: left - 6, y: at + 5, class_: 'end' }, `1e${decade}`));
  }
  values.forEach((value, at) => {
    const x = left + wide * at + wide / 2;
    const high = y(value);
    parts.push(drawn('rect', { x: x - wide * 0.28, width: wide * 0.56, y: high, height: Math.max(1, PICTURE.top + height - high), class_: value <= Number(line) ? 'in' : 'out' },
      drawn('title', {}, `${labels[at]}: ${Number.isFinite(value) ? value.toPrecision(2) : 'not finite'}`)),
    drawn('text', { x, y: PICTURE.top + height + 19, class_: 'axis' }, labels[at]));
    if (others) {
      const mark = y(others[at]);
      parts.push(drawn('path', { d: `M${x - 7},${mark}L${x},${mark - 7}L${x + 7},${mark}L${x},${mark + 7}z`, class_: 'declared' }, drawn('title', {}, `${labels[at]}, against the declared dialect: ${others[at].toPrecision(2)}`)));
    }
  });
  const at = y(Number(line));
  parts.push(drawn('line', { x1: left, x2: width - 8, y1: at, y2: at, class_: 'bound' }));
  const legend = others ? `bars: against the reference; diamonds: against what is declared; line: ${lineName}` : `line: ${lineName}`;
  const tall = PICTURE.top + height + 28;
  return make('figure', { class_: 'small' }, make('figcaption', {}, title, ' ', make('span', { class_: 'tally' }, `(logarithmic; ${legend})`)),
    make('div', { class_: 'scroll', tabindex: '0', role: 'region', 'aria-label': title }, drawn('svg', { viewBox: `0 0 ${width} ${tall}`, width, height: tall, class_: 'errors', role: 'img', 'aria-label': title }, parts)));
}

