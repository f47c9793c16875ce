// The panel of one cell: what was asked, what came back, how far off, and what explains it.
const panel = byId('panel');

function closePanel() {
  go({ case: '', impl: '' });
}

function pair(term, ...description) {
  return make('div', {}, make('dt', {}, term), make('dd', {}, ...description));
}

async function drawPanel() {
  const row = rowOf.get(state.case);
  const column = columnOf.get(state.impl);
  const wanted = writeState(state);
  if (row === undefined || column === undefined) {
    const gone = Boolean(state.case) && state.page === 'matrix';
    panel.hidden = !gone;
    panel.parentElement.classList.toggle('opened', gone);
    if (gone) panel.replaceChildren(closeButton(), make('h2', { id: 'panel-title' }, 'This report has no such cell'), make('p', {}, state.case, ' on ', state.impl));
    return;
  }
  let details;
  try {
    details = await detailsOf(row, column);
  } catch (error) {
    details = { source: '', seconds: 0, quantities: [], explanation: `The details could not be unpacked: ${error.message}. A browser of 2023 or later is needed; conformance show prints the same.` };
  }
  if (wanted !== writeState(state)) return;
  panel.hidden = false;
  panel.parentElement.classList.add('opened');
  showActive();
  panel.replaceChildren(...panelParts(cases[row], columns[column], details));
  panel.scrollTop = 0;
}

function closeButton() {
  return make('button', { type: 'button', class_: 'close', 'aria-label': 'Close the panel', title: 'Close (Esc)', onclick: closePanel }, '✕');
}

function panelParts(one, column, details) {
  const word = verdictAt(one.position, column.position);
  return [
    closeButton(),
    make('p', { class_: 'verdict-line' }, word ? chip(word) : 'not run', ' ', make('strong', {}, labelOf(column)), ' ', badge(column)),
    make('h2', { id: 'panel-title', tabindex: '-1' }, one.fact),
    make('p', { class_: 'id' }, make('code', {}, one.id)),
    column.provenance === 'modelled' ? make('p', { class_: 'alarm mild' }, 'Modelled: predicted from the declared dialect, not executed.') : '',
    details.explanation ? make('p', { class_: 'explanation' }, details.explanation) : '',
    copyButtons(one, column),
    make('h3', {}, 'Quantities'),
    ...(details.quantities.length ? details.quantities.map(drawQuantity) : [make('p', { class_: 'nil' }, 'None was observed.')]),
    make('h3', {}, 'Others on this case'), drawOthers(one, column),
    make('h3', {}, one.clauses.length === 1 ? 'Clause' : 'Clauses'), ...one.clauses.map(drawClause),
    make('h3', {}, 'Case'), make('pre', { tabindex: '0' }, details.source || one.id),
    details.seconds ? make('p', { class_: 'nil' }, `Took ${numberText(details.seconds)} s.`) : '',
  ].filter(Boolean);
}

function copyButtons(one, column) {
  const button = (label, text) => make('button', { type: 'button', onclick: (event) => copy(event.currentTarget, text()) }, label);
  return make('p', { class_: 'copies' },
    button('Copy pytest id', () => pytestId(one, column)),
    button('Copy command', () => `conformance run --adapter ${column.name} --case '${one.id}'`),
    button('Copy link', () => location.href));
}

function pytestId(one, column) {
  const parts = { file: one.file, case: one.id.slice(one.file ? one.file.length + 1 : 0), implementation: column.name };
  return index.pytest.replace(/\{(\w+)\}/g, (whole, part) => parts[part]);
}

function drawQuantity(quantity) {
  const quiet = quantity.word.name === 'agrees' || quantity.word.name === 'rough';
  const ratio = quantity.ratio === null ? '' : make('span', { class_: 'ratio' }, `${ratioText(quantity.ratio)} × bound`);
  const why = [quantity.explanation, quantity.message && `${quantity.raises || 'message'}: ${quantity.message}`].filter(Boolean);
  return make('details', { class_: 'quantity', open: !quiet },
    make('summary', {}, make('span', { class_: 'step' }, `step ${quantity.step}`), ' ', make('strong', {}, quantity.name), ' ', chip(quantity.word), ' ', ratio),
    ...why.map((text) => make('p', { class_: 'explanation' }, text)),
    drawFacts(quantity), drawValues(quantity));
}

function drawFacts(quantity) {
  const rows = [
    ['Explained by', quantity.variant], ['Record', quantity.deviation], ['Observed group', quantity.open], ['Raises', quantity.raises],
    ['Error at the worst element', quantity.error], ['Tight bound there', quantity.bound], ['Plain bound there', quantity.plainBound],
    ['Error over bound', quantity.ratio === null ? null : ratioText(quantity.ratio)],
    ['Against the declared dialect', quantity.declaredRatio === null ? null : `${ratioText(quantity.declaredRatio)} × bound`],
    ['Largest error anywhere', quantity.maxError],
    ['Worst index', quantity.worst && `[${quantity.worst.join(', ')}]`],
    ['Shape, data type', [quantity.shape.join(' × '), quantity.dtype].filter(Boolean).join(', ')],
    ['Clause', quantity.clause],
    ['Tells dialects apart', quantity.discriminates === null ? null : (quantity.discriminates ? 'yes' : 'no: reference and declared dialect predict the same here')],
  ].filter(([, value]) => value !== null && value !== undefined && value !== '');
  return make('dl', { class_: 'numbers' }, rows.map(([term, value]) => pair(term, typeof value === 'number' ? numberText(value) : value)));
}

function positionOf(flat, shape) {
  const at = [];
  for (const length of [...shape].reverse()) { at.unshift(flat % length); flat = Math.floor(flat / length); }
  return `[${at.join(', ')}]`;
}

function drawValues(quantity) {
  const { expected, observed, declared, shape, start } = quantity;
  const length = Math.max((expected || []).length, (observed || []).length);
  if (!length) return '';
  const worst = quantity.worst && `[${quantity.worst.join(', ')}]`;
  const gaps = Array.from({ length }, (_, at) => (expected && observed ? gapOf(expected[at], observed[at]) : null));
  const finite = gaps.filter((gap) => Number.isFinite(gap));
  const largest = Math.max(...finite, 0) || 1;
  const head = ['Index', 'Expected', ...(declared ? ['Declared'] : []), 'Observed', 'Error'];
  const rows = gaps.map((gap, at) => {
    const place = positionOf(start + at, shape);
    const bar = make('span', { class_: 'gap', 'aria-hidden': 'true' });
    bar.style.width = `${gap === null ? 0 : Math.min(1, (Number.isFinite(gap) ? gap : largest) / largest) * 100}%`;
    return make('tr', { class_: place === worst ? 'worst' : null }, make('th', { scope: 'row' }, place),
      make('td', {}, numberText(expected ? expected[at] : null)), declared ? make('td', {}, numberText(declared[at])) : '',
      make('td', {}, numberText(observed ? observed[at] : null)),
      make('td', { class_: 'error' }, gap === null ? '–' : (Number.isFinite(gap) ? gap.toExponential(1) : String(gap)), bar));
  });
  const all = shape.reduce((product, one) => product * one, 1);
  return make('div', { class_: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Values of ${quantity.name}` },
    make('table', { class_: 'values' },
      make('caption', {}, length < all ? `${length} of ${all.toLocaleString('en')} values, around the worst` : plural(length, 'value')),
      make('thead', {}, make('tr', {}, head.map((text) => make('th', { scope: 'col' }, text)))), make('tbody', {}, rows)));
}

function gapOf(expected, observed) {
  if (typeof expected === 'number' && typeof observed === 'number') return Math.abs(observed - expected);
  return expected === observed ? 0 : NaN;
}

function drawOthers(one, column) {
  const items = columns.filter((other) => other !== column).map((other) => {
    const word = verdictAt(one.position, other.position);
    const href = writeState({ ...state, case: one.id, impl: other.id });
    return make('li', {}, make('a', { href }, labelOf(other)), ' ', word ? chip(word) : make('span', { class_: 'nil' }, 'not run'),
      ' ', make('span', { class_: 'ratio' }, ratioText(other.ratios[one.position])), ' ', badge(other));
  });
  return items.length ? make('ul', { class_: 'others' }, items) : make('p', { class_: 'nil' }, 'There are none in this report.');
}

function drawClause(number) {
  const clause = index.clauses[number] || {};
  return make('div', { class_: 'clause' }, make('p', {}, make('strong', {}, number), ' ', clause.sentence || ''),
    clause.formula ? make('pre', { class_: 'formula' }, clause.formula) : '', clause.source ? make('p', { class_: 'source' }, clause.source) : '');
}

