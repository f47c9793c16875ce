// The matrix: a table of cases by implementations; of a large one only the rows in view are drawn.
const DRAW_ALL = 1200;
const SPARE = 14;
const pane = byId('pane');
const grid = { items: [], shown: [], table: null, body: null, active: { at: 0, column: 0 }, from: 0, to: 0, whole: true };

function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

function drawHead() {
  const corner = make('th', { class_: 'corner', scope: 'col' }, 'Case');
  return make('thead', {}, make('tr', { 'aria-rowindex': 1 }, corner, grid.shown.map(drawSlot)));
}

// The head of a column: a button that selects it, and one that folds the columns of one implementation.
function drawSlot(slot, place) {
  const [column] = slot.members;
  const marked = slot.members.every((one) => state.marked.has(one.position));
  const modes = [...new Set(slot.members.flatMap((one) => [one.execution, one.device]))].filter((part) => part !== 'cpu' && (part !== 'eager' || slot.folded));
  const versions = [...new Set(slot.members.map((one) => one.version))];
  const name = make('button', {
    type: 'button', class_: 'head-name', tabindex: -1, 'aria-pressed': String(marked), 'data-mark': place,
    title: `${slot.members.map((one) => one.id).join('\n')}\nSelect (c)`,
  }, make('span', { class_: 'name' }, column.name),
  make('span', { class_: 'version' }, versions.length > 2 ? `${versions[0]} … ${versions[versions.length - 1]}` : versions.join(', ')),
  make('span', { class_: 'detail' }, (slot.folded ? modes : [column.execution, column.device].filter((part) => part !== 'cpu')).join(', ')), badge(column));
  const fold = slot.folded || (slot.many && slot.first) ? make('button', {
    type: 'button', class_: 'head-fold', tabindex: -1, 'aria-expanded': String(!slot.folded), 'data-fold': slot.family,
    'aria-label': slot.folded ? `Unfold the ${slot.members.length} columns of ${column.name}` : `Fold the columns of ${column.name}`, title: 'Fold or unfold (f)',
  }, slot.folded ? `▸ ${slot.members.length} columns` : '▾ fold') : '';
  return make('th', { scope: 'col', class_: `head ${column.provenance}${marked ? ' marked' : ''}`, 'data-column': place }, name, fold);
}

function drawMatrix(selection) {
  const key = grid.items[grid.active.at] && grid.items[grid.active.at].key;
  grid.items = selection.items;
  grid.shown = shownSlots();
  const kept = grid.items.findIndex((item) => item.key === key);
  grid.active.at = kept >= 0 ? kept : Math.max(0, grid.items.findIndex((item) => item.kind === 'case'));
  grid.active.column = Math.min(grid.active.column, grid.shown.length - 1);
  aimAtOpened();
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
  if (item.kind === 'case') row.append(drawName(item.one), ...grid.shown.map((slot, place) => drawCell(item.one, slot, at, place)));
  else row.append(drawBand(item, at));
  return row;
}

function drawName(one) {
  const marked = state.rows.has(one.position);
  return make('th', { scope: 'row', class_: `case${marked ? ' marked' : ''}` },
    make('button', { type: 'button', class_: 'row-name clip', tabindex: -1, 'aria-pressed': String(marked), title: `${one.id}\n${one.fact}\nSelect (s)` },
      one.name, one.parameters ? make('span', { class_: 'parameters' }, ` ${one.parameters}`) : ''));
}

function drawCell(one, slot, at, place) {
  const column = leadOf(slot, one.position);
  const code = column.verdicts[one.position];
  const word = byCode.get(code);
  const chosen = state.case === one.id && slot.members.some((member) => member.id === state.impl);
  const active = grid.active.at === at && grid.active.column === place;
  const ratio = ratioText(column.ratios[one.position]);
  const name = word ? word.name : 'not run';
  const dim = word && state.verdicts.size && !slot.members.some((member) => state.verdicts.has((byCode.get(member.verdicts[one.position]) || {}).name));
  const like = slot.members.filter((member) => member.verdicts[one.position] === code).length;
  const part = like < slot.members.length ? `${like} of ${slot.members.length}` : '';
  const who = slot.folded ? `${column.name}${part ? `, ${part} columns` : ''}` : labelOf(column);
  return make('td', {
    class_: `cell ${word ? word.name : 'missing'} ${column.provenance}${dim ? ' dim' : ''}${chosen ? ' chosen' : ''}`,
    role: 'gridcell', tabindex: active ? 0 : -1, 'data-place': place, 'aria-selected': chosen ? 'true' : null,
    'aria-label': `${who}: ${name}${ratio ? `, ${ratio} times the bound` : ''}`,
  }, make('span', { class_: 'glyph', 'aria-hidden': 'true' }, word ? word.glyph : ''), ratio ? make('span', { class_: 'ratio' }, ratio) : '',
  part ? make('span', { class_: 'part' }, ` ${part}`) : '');
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
  go({ case: item.one.id, impl: leadOf(grid.shown[place], item.one.position).id });
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
    head.classList.toggle('active', Number(head.dataset.column) === grid.active.column);
  }
}

function showActive() {
  const target = elementOf(grid.active);
  if (target) target.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  else if (grid.items.length) { pane.scrollTop = grid.active.at * rowHeight() - pane.clientHeight / 2; drawRows(true); }
}

function markSlot(place) {
  const marked = new Set(state.marked);
  const members = grid.shown[place].members.map((one) => one.position);
  const off = members.every((position) => marked.has(position));
  for (const position of members) { if (off) marked.delete(position); else marked.add(position); }
  go({ marked, pick: state.pick && Boolean(marked.size || state.rows.size) });
}

function markRow(one) {
  const rows = toggled(state.rows, one.position);
  go({ rows, pick: state.pick && Boolean(rows.size || state.marked.size) });
}

pane.addEventListener('click', (event) => {
  const head = event.target.closest('[data-mark], [data-fold]');
  if (head) {
    if (head.dataset.fold) go({ heads: toggled(state.heads, head.dataset.fold) });
    else markSlot(Number(head.dataset.mark));
    return;
  }
  const row = event.target.closest('tr[data-at]');
  if (!row) return;
  const at = Number(row.dataset.at);
  const item = grid.items[at];
  const cell = event.target.closest('[data-place]');
  grid.active = { at, column: cell ? Number(cell.dataset.place) : grid.active.column };
  if (item.kind === 'case' && cell) openCell(item, grid.active.column);
  else if (item.kind === 'case' && event.target.closest('.row-name')) markRow(item.one);
  else if (item.kind !== 'case' && event.target.closest('button')) toggleBand(item);
});
let pending = 0;
pane.addEventListener('scroll', () => {
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(() => grid.body && drawRows());
});
addEventListener('resize', () => grid.body && state.page === 'matrix' && drawRows(true));

