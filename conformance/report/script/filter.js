// Which rows and columns are shown, and how many cells each verdict would leave.
function parsePattern(text) {
  const [path, inside] = [text.split('[')[0], text.includes('[') ? text.slice(text.indexOf('[') + 1).replace(/\]$/, '') : null];
  const items = inside === null ? [] : inside.split(',').filter(Boolean);
  return { segments: path.split('/'), items: items.filter((item) => item !== '*'), rest: inside === null || items.includes('*') };
}

// The pattern syntax of `conformance run --case`: `*` stands for a whole segment.
function matchesPattern(pattern, id) {
  const other = parsePattern(id);
  return pattern.segments.length === other.segments.length
    && pattern.segments.every((own, at) => own === '*' || own === other.segments[at])
    && pattern.items.every((item) => other.items.includes(item))
    && (pattern.rest || pattern.items.length === other.items.length);
}

function textTest(text) {
  const wanted = text.trim();
  if (wanted.includes('*')) {
    const pattern = parsePattern(wanted);
    return (one) => matchesPattern(pattern, one.id);
  }
  const parts = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  return (one) => parts.every((part) => one.text.includes(part));
}

const shownColumns = () => columns.filter((one) => (!state.implementations.size || state.implementations.has(one.position))
  && (!state.execution || one.execution === state.execution)
  && (!state.pick || !state.marked.size || state.marked.has(one.position)));

// Above so many columns, those of one implementation stand under one head until it is unfolded.
const FOLD_ABOVE = 8;
const familyOf = (column) => `${column.name} ${column.provenance}`;
const isFolded = (family) => (columns.length > FOLD_ABOVE) !== state.heads.has(family);

// What stands side by side: a column each, or the columns of one implementation together.
function shownSlots() {
  const families = new Map();
  for (const column of shownColumns()) {
    const family = familyOf(column);
    if (!families.has(family)) families.set(family, []);
    families.get(family).push(column);
  }
  return [...families].flatMap(([family, members]) => (members.length > 1 && isFolded(family)
    ? [{ family, members, folded: true }]
    : members.map((column, place) => ({ family, members: [column], folded: false, many: members.length > 1, first: place === 0 }))));
}

// The column that a slot shows on a row: the gravest verdict, then the largest ratio.
function leadOf(slot, row) {
  const size = (column) => (typeof column.ratios[row] === 'string' ? Infinity : column.ratios[row] ?? -1);
  return slot.members.reduce((best, column) => {
    const difference = gravity(column.verdicts[row]) - gravity(best.verdicts[row]);
    return difference < 0 || (difference === 0 && size(column) > size(best)) ? column : best;
  });
}

// Rows that pass every filter but that by verdict.
function candidates() {
  const test = textTest(state.text);
  const finding = index.findings[state.finding];
  const found = finding && new Set(finding.cells.flatMap(([, rows]) => rows));
  return cases.filter((one) => (!found || found.has(one.position))
    && (!state.clause || one.clauses.includes(state.clause))
    && (!state.dtype || one.dtype === state.dtype)
    && (!state.mode || one.mode.split(' ').includes(state.mode))
    && (!state.pick || !state.rows.size || state.rows.has(one.position))
    && test(one));
}

// { items, tallies, rows }: what to draw, cells by verdict code, how many cases pass.
function select() {
  const shown = shownColumns();
  const codes = new Set([...state.verdicts].map((name) => (words.find((word) => word.name === name) || {}).code));
  const tallies = {};
  const passing = new Map();
  let rows = 0;
  for (const one of candidates()) {
    let wanted = codes.size === 0;
    let agrees = true;
    for (const column of shown) {
      const code = column.verdicts[one.position];
      tallies[code] = (tallies[code] || 0) + 1;
      if (codes.has(code)) wanted = true;
      if (code !== 'a') agrees = false;
    }
    if (!wanted || (state.only && agrees)) continue;
    rows += 1;
    if (!passing.has(one.file)) passing.set(one.file, { apart: [], alike: [] });
    passing.get(one.file)[agrees ? 'alike' : 'apart'].push(one);
  }
  return { items: itemsOf(passing), tallies, rows };
}

function itemsOf(passing) {
  const asked = state.text || state.verdicts.size || state.finding || state.pick;
  const items = [];
  for (const [file, { apart, alike }] of passing) {
    items.push({ kind: 'group', key: `g ${file}`, file, apart: apart.length, total: apart.length + alike.length });
    if (state.shut.has(file)) continue;
    const unfolded = asked || state.unfolded.has(file);
    const rows = unfolded ? [...apart, ...alike].sort((a, b) => a.position - b.position) : apart;
    items.push(...rows.map((one) => ({ kind: 'case', key: one.id, one })));
    if (alike.length && !asked) items.push({ kind: 'fold', key: `f ${file}`, file, count: alike.length, unfolded });
  }
  return items;
}

