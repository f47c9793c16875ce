// The matrix: a table of cases by implementations; of a large one only the rows in view are drawn.
const DRAW_ALL = 5000;
const SPARE = 14;
const pane = byId('pane');
const grid = { items: [], shown: [], table: null, body: null, active: { at: 0, column: 0 }, from: 0, to: 0, whole: true };

function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

function drawHead() {
  const corner = make('th', { class_: 'corner', scope: 'col' }, 'Case');
  const heads = grid.shown.map((column) => make('th', {
    scope: 'col', class_: `head ${column.provenance}`, 'data-column': column.position, title: column.id,
  }, make('span', { class_: 'name' }, column.name), make('span', { class_: 'version' }, column.version),
  make('span', { class_: 'detail' }, [column.execution, column.device].filter((part) => part !== 'cpu').join(', ')), badge(column)));
  return make('thead', {}, make('tr', { 'aria-rowindex': 1 }, corner, heads));
}

function drawMatrix(selection) {
  const key = grid.items[grid.active.at] && grid.items[grid.active.at].key;
  grid.items = selection.items;
  grid.shown = shownColumns();
  const kept = grid.items.findIndex((item) => item.key === key);
  grid.active.at = kept >= 0 ? kept : Math.max(0, grid.items.findIndex((item) => item.kind === 'case'));
  grid.active.column = Math.min(grid.active.column, grid.shown.length - 1);
  grid.whole = grid.items.length * (grid.shown.length + 1) <= DRAW_ALL;
  grid.body = make('tbody', {});
  grid.table = make('table', {
    class_: `matrix${grid.shown.length > 8 ? ' many' : ''}`, role: 'grid', 'aria-label': 'Cases by implementation',
    'aria-rowcount': grid.items.length + 1, 'aria-colcount': grid.shown.length + 1,
  }, drawHead(), grid.body);
  const top = pane.scrollTop;
  pane.replaceChildren(grid.items.length ? grid.table : make('p', { class_: 'nothing' }, 'No case passes these filters.'));
  pane.scrollTop = top;
  drawRows(true);
}

// `--row` is in rem, so that rows grow with the reader's font.
const rowHeight = () => (parseFloat(getComputedStyle(pane).getPropertyValue('--row')) || 2.5)
  * parseFloat(getComputedStyle(document.documentElement).fontSize);

function drawRows(anyway = false) {
  const height = rowHeight();
  const from = grid.whole ? 0 : Math.max(0, Math.floor(pane.scrollTop / height) - SPARE);
  const to = grid.whole ? grid.items.length
    : Math.min(grid.items.length, Math.ceil((pane.scrollTop + pane.clientHeight) / height) + SPARE);
  const first = Math.floor(pane.scrollTop / height);
  const last = Math.min(grid.items.length, Math.ceil((pane.scrollTop + pane.clientHeight) / height));
  if (!anyway && (grid.whole || (first >= grid.from && last <= grid.to))) return;
  const focused = grid.body.contains(document.activeElement);
  grid.from = from;
  grid.to = to;
  const rows = grid.items.slice(from, to).map((item, offset) => drawItem(item, from + offset));
  grid.body.replaceChildren(spacer(from * height), ...rows, spacer((grid.items.length - to) * height));
  if (focused) focusActive(false);
}

function spacer(height) {
  const row = make('tr', { class_: 'spacer', 'aria-hidden': 'true' });
  row.style.height = `${height}px`;
  row.hidden = height === 0;
  return row;
}

function drawItem(item, at) {
  const row = make('tr', { class_: item.kind, 'aria-rowindex': at + 2, 'data-at': at });
  if (item.kind === 'case') row.append(drawName(item.one), ...grid.shown.map((column, place) => drawCell(item.one, column, at, place)));
  else row.append(drawBand(item, at));
  return row;
}

function drawName(one) {
  return make('th', { scope: 'row', class_: 'case', title: `${one.id}\n${one.fact}` },
    make('span', { class_: 'clip' }, one.name, one.parameters ? make('span', { class_: 'parameters' }, ` ${one.parameters}`) : ''));
}

function drawCell(one, column, at, place) {
  const word = byCode.get(column.verdicts[one.position]);
  const chosen = state.case === one.id && state.impl === column.id;
  const active = grid.active.at === at && grid.active.column === place;
  const ratio = ratioText(column.ratios[one.position]);
  const name = word ? word.name : 'not run';
  const dim = word && state.verdicts.size && !state.verdicts.has(word.name);
  return make('td', {
    class_: `cell ${word ? word.name : 'missing'} ${column.provenance}${dim ? ' dim' : ''}${chosen ? ' chosen' : ''}`,
    role: 'gridcell', tabindex: active ? 0 : -1, 'data-place': place, 'aria-selected': chosen ? 'true' : null,
    'aria-label': `${labelOf(column)}: ${name}${ratio ? `, ${ratio} times the bound` : ''}`,
  }, make('span', { class_: 'glyph', 'aria-hidden': 'true' }, word ? word.glyph : ''), ratio ? make('span', { class_: 'ratio' }, ratio) : '');
}

function drawBand(item, at) {
  const group = item.kind === 'group';
  const open = group ? !state.shut.has(item.file) : item.unfolded;
  const parts = group
    ? [make('strong', {}, item.file || 'cases'), make('span', { class_: 'tally' },
      ` ${plural(item.total, 'case')}, ${item.apart ? `${item.apart.toLocaleString('en')} with something to tell` : 'all agree'}`)]
    : [`${plural(item.count, 'case')} on which all agree`];
  const active = grid.active.at === at;
  return make('th', { class_: 'band', colspan: grid.shown.length + 1, scope: group ? 'rowgroup' : 'row' },
    make('button', { type: 'button', class_: 'fold-button', 'aria-expanded': String(open), tabindex: active ? 0 : -1 },
      make('span', { class_: 'arrow', 'aria-hidden': 'true' }, open ? '▾' : '▸'), ' ', ...parts));
}

function toggleBand(item) {
  if (item.kind === 'group') go({ shut: toggled(state.shut, item.file) });
  else go({ unfolded: toggled(state.unfolded, item.file) });
}

function openCell(item, place) {
  go({ case: item.one.id, impl: grid.shown[place].id });
}

function elementOf({ at, column }) {
  const row = grid.body && grid.body.querySelector(`tr[data-at="${at}"]`);
  return row && (row.querySelector(`[data-place="${column}"]`) || row.querySelector('button'));
}

function focusActive(scroll = true) {
  if (scroll && !elementOf(grid.active)) {
    pane.scrollTop = grid.active.at * rowHeight() - pane.clientHeight / 2;
    drawRows(true);
  }
  const target = elementOf(grid.active);
  if (!target) return;
  for (const old of grid.body.querySelectorAll('[tabindex="0"]')) old.tabIndex = -1;
  target.tabIndex = 0;
  target.focus({ preventScroll: true });
  if (scroll) target.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  for (const head of grid.table.tHead.querySelectorAll('.head')) {
    head.classList.toggle('active', grid.shown[grid.active.column] && Number(head.dataset.column) === grid.shown[grid.active.column].position);
  }
}

function showActive() {
  const target = elementOf(grid.active);
  if (target) target.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  else if (grid.items.length) { pane.scrollTop = grid.active.at * rowHeight() - pane.clientHeight / 2; drawRows(true); }
}

pane.addEventListener('click', (event) => {
  const row = event.target.closest('tr[data-at]');
  if (!row) return;
  const at = Number(row.dataset.at);
  const item = grid.items[at];
  const cell = event.target.closest('[data-place]');
  grid.active = { at, column: cell ? Number(cell.dataset.place) : grid.active.column };
  if (item.kind === 'case' && cell) openCell(item, grid.active.column);
  else if (item.kind !== 'case' && event.target.closest('button')) toggleBand(item);
});
let pending = 0;
pane.addEventListener('scroll', () => {
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(() => grid.body && drawRows());
});
addEventListener('resize', () => grid.body && state.page === 'matrix' && drawRows(true));

