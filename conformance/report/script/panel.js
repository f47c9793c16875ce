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
    details = await detailsOf(row);
  } catch (error) {
    details = { source: '', inputs: [], cells: [], fault: `The details could not be unpacked: ${error.message}. A browser of 2023 or later is needed; conformance show prints the same.` };
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
  const cell = details.cells[column.position] || { explanation: details.fault || '', seconds: 0, quantities: [] };
  const records = recordsOf([...new Set(cell.quantities.map((quantity) => quantity.deviation).filter(Boolean))].join(' + '));
  const toldByRecord = records.length && word && word.name === 'deviates';
  return [
    closeButton(),
    make('p', { class_: 'verdict-line' }, word ? chip(word) : 'not run', ' ', make('strong', {}, labelOf(column)), ' ', badge(column)),
    make('h2', { id: 'panel-title', tabindex: '-1' }, one.fact),
    make('p', { class_: 'id' }, make('code', {}, one.id)),
    column.provenance === 'modelled' ? make('p', { class_: 'alarm mild' }, 'Modelled: predicted from the declared dialect, not executed.') : '',
    cell.explanation && !toldByRecord ? make('p', { class_: 'explanation' }, cell.explanation) : '',
    ...records.map(drawRecord),
    ...one.clauses.map(drawClause),
    copyButtons(one, column, word),
    make('h3', {}, 'Quantities'),
    ...(cell.quantities.length ? cell.quantities.map((quantity) => drawQuantity(quantity, column, details)) : [make('p', { class_: 'nil' }, 'None was observed.')]),
    ...drawInputs(details.inputs),
    ...drawHistory(one, column),
    make('h3', {}, 'Who does what on this case'), drawGroups(one, column, details),
    make('h3', {}, 'Case'), make('pre', { tabindex: '0' }, details.source || one.id),
    cell.seconds ? make('p', { class_: 'nil' }, `Took ${numberText(cell.seconds)} s.`) : '',
  ].filter(Boolean);
}

function drawRecord(record) {
  return make('div', { class_: 'record' },
    make('p', {}, make('strong', {}, `Recorded: ${record.name}`), ` (${record.implementation} ${record.versions || 'every version'})`),
    make('p', {}, record.reason || ''),
    make('p', {}, 'Variant: ', (record.variants || []).map((name) => `${name}. ${index.variants[name] || ''}`).join(' ')),
    record.upstream ? make('p', {}, outside(record.upstream, 'Reported upstream')) : '',
    record.proof ? make('details', {}, make('summary', {}, 'How it was proved'), make('p', {}, record.proof)) : '');
}

// The script itself would make the file many times as large; the command writes it.
const REPEATED = ['differs', 'changed', 'deviates', 'rough', 'open'];

function adapterOf(column) {
  return column.execution === 'eager' ? column.name : `${column.name}:${column.execution}`;
}

function copyButtons(one, column, word) {
  const button = (label, text) => make('button', { type: 'button', onclick: (event) => copy(event.currentTarget, text()) }, label);
  return make('p', { class_: 'copies' },
    button('Copy pytest id', () => pytestId(one, column)),
    button('Copy command', () => `conformance run --adapter ${column.name} --case '${one.id}'`),
    word && REPEATED.includes(word.name) ? button('Copy repro', () => `conformance repro '${one.id}' ${adapterOf(column)}`) : '',
    button('Copy link', () => location.href));
}

function pytestId(one, column) {
  const parts = { file: one.file, case: one.id.slice(one.file ? one.file.length + 1 : 0), implementation: column.name };
  return index.pytest.replace(/\{(\w+)\}/g, (whole, part) => parts[part]);
}

function drawQuantity(quantity, column, details) {
  const quiet = quantity.word.name === 'agrees' || quantity.word.name === 'rough';
  const ratio = quantity.ratio === null ? '' : make('span', { class_: 'ratio' }, `${ratioText(quantity.ratio)} × bound`);
  const known = recordsOf(quantity.deviation).map((record) => record.reason).join(' ');
  const why = [quantity.explanation !== known && quantity.explanation, quantity.message && `${quantity.raises || 'message'}: ${quantity.message}`].filter(Boolean);
  return make('details', { class_: 'quantity', open: !quiet },
    make('summary', {}, make('span', { class_: 'step' }, `step ${quantity.step}`), ' ', make('strong', {}, quantity.name), ' ', chip(quantity.word), ' ', ratio),
    ...why.map((text) => make('p', { class_: 'explanation' }, text)),
    drawFacts(quantity), drawValues(quantity), ...drawPictures(quantity), sideBySide(quantity, column, details));
}

function drawFacts(quantity) {
  const rows = [
    ['Explained by', quantity.variant && `${quantity.variant}. ${sentencesOf(quantity.variant)}`], ['Record', quantity.deviation], ['Observed group', quantity.open], ['Raises', quantity.raises],
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

function drawInputs(inputs) {
  if (!inputs.length) return [];
  const rows = inputs.map(([name, dtype, shape, values]) => {
    const all = shape.reduce((product, one) => product * one, 1);
    return make('tr', {}, make('th', { scope: 'row' }, name.replace(':', ' ')), make('td', {}, shape.join(' × ') || 'scalar'), make('td', {}, dtype),
      make('td', {}, `${values.map(numberText).join(', ')}${all > values.length ? ', …' : ''}`));
  });
  const head = ['Array', 'Shape', 'Data type', 'First values'];
  return [make('h3', {}, 'Inputs'), make('div', { class_: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Inputs' },
    make('table', { class_: 'values inputs' }, make('thead', {}, make('tr', {}, head.map((text) => make('th', { scope: 'col' }, text)))), make('tbody', {}, rows)))];
}

// The values of the others at the same places, filled in when asked for.
function sideBySide(quantity, column, details) {
  const others = columns.filter((other) => other !== column && details.cells[other.position]).map((other) => [other,
    details.cells[other.position].quantities.find((one) => one.step === quantity.step && one.name === quantity.name && one.observed)]).filter(([, one]) => one);
  if (!others.length || !quantity.observed) return '';
  const block = make('details', { class_: 'beside' }, make('summary', {}, `Beside ${plural(others.length, 'other')}`));
  block.addEventListener('toggle', () => {
    if (block.open && !block.querySelector('table')) block.append(besideTable(quantity, column, others));
  });
  return block;
}

function besideTable(quantity, column, others) {
  const head = ['Index', ...(quantity.expected ? ['Expected'] : []), labelOf(column), ...others.map(([other]) => labelOf(other))];
  const rows = quantity.observed.map((value, at) => {
    const place = quantity.start + at;
    const values = others.map(([, one]) => one.observed[place - one.start]);
    return make('tr', {}, make('th', { scope: 'row' }, positionOf(place, quantity.shape)),
      quantity.expected ? make('td', {}, numberText(quantity.expected[at])) : '',
      make('td', {}, numberText(value)), values.map((other) => make('td', {}, other === undefined ? '' : numberText(other))));
  });
  return make('div', { class_: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${quantity.name} side by side` },
    make('table', { class_: 'values' }, make('caption', {}, 'Observed values; empty where a column kept those around another worst element'),
      make('thead', {}, make('tr', {}, head.map((text) => make('th', { scope: 'col' }, text)))), make('tbody', {}, rows)));
}

function drawHistory(one, column) {
  const family = columns.filter((other) => other.name === column.name && other.execution === column.execution
    && other.device === column.device && other.provenance === column.provenance);
  if (family.length < 2) return [];
  const items = family.map((other) => make('li', { 'aria-current': other === column ? 'true' : null }, cellLink(one, other, other.version)));
  return [make('h3', {}, `${column.name} over its versions`), make('ol', { class_: 'history' }, items)];
}

function cellLink(one, other, text) {
  const word = verdictAt(one.position, other.position);
  const ratio = ratioText(other.ratios[one.position]);
  return [make('a', { href: writeState({ ...state, case: one.id, impl: other.id }) }, text), ' ',
    word ? chip(word) : make('span', { class_: 'nil' }, 'not run'), ratio ? make('span', { class_: 'ratio' }, ` ${ratio}`) : '', ' ', badge(other)];
}

// What a cell did, in words: those that did the same are a group.
function behaviourOf(cell, word) {
  if (!word) return 'not run';
  if (word.name === 'agrees' || word.name === 'rough') return 'as the reference';
  const own = cell ? cell.quantities.filter((quantity) => quantity.word === word) : [];
  const told = own.map((quantity) => (quantity.raises ? `raises ${quantity.raises}` : quantity.open
    || recordsOf(quantity.deviation).flatMap((record) => record.variants || []).join(' + ') || quantity.deviation || quantity.variant || '')).filter(Boolean);
  const names = [...new Set(told)].join('; ');
  return names || (word.name === 'deviates' ? 'as declared' : `${word.name}${word.name === 'differs' ? ', unexplained' : ''}`);
}

function drawGroups(one, column, details) {
  const groups = new Map();
  for (const other of columns) {
    const key = behaviourOf(details.cells[other.position], verdictAt(one.position, other.position));
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(other);
  }
  const ordered = [...groups].sort(([, a], [, b]) => Number(b.includes(column)) - Number(a.includes(column)) || b.length - a.length);
  return make('ul', { class_: 'alike' }, ordered.map(([key, members]) => make('li', {},
    make('p', {}, make('strong', {}, key), sentencesOf(key) ? `: ${sentencesOf(key)}` : ''),
    make('ul', { class_: 'others' }, members.map((other) => make('li', { 'aria-current': other === column ? 'true' : null }, cellLink(one, other, labelOf(other))))))));
}

function drawClause(number) {
  const clause = index.clauses[number] || {};
  return make('details', { class_: 'clause' }, make('summary', {}, make('strong', {}, `Clause ${number}`), ' ', clause.sentence || ''),
    clause.formula ? make('pre', { class_: 'formula' }, clause.formula) : '', clause.source ? make('p', { class_: 'source' }, clause.source) : '');
}
