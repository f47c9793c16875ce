// The keyboard: arrows between cells, Enter opens, Esc closes, `/` filters, `n` and `p` jump, `?` helps.
function move(rows, places) {
  const last = grid.items.length - 1;
  const item = grid.items[grid.active.at];
  grid.active.at = Math.min(last, Math.max(0, grid.active.at + rows));
  if (item && item.kind === 'case') {
    grid.active.column = Math.min(grid.shown.length - 1, Math.max(0, grid.active.column + places));
  }
  focusActive();
}

// Goes to the next cell, reading row by row, that is not plain agreement.
function jump(direction) {
  const width = grid.shown.length;
  const start = grid.active.at * width + grid.active.column;
  for (let at = start + direction; at >= 0 && at < grid.items.length * width; at += direction) {
    const item = grid.items[Math.floor(at / width)];
    if (item.kind !== 'case') continue;
    const code = leadOf(grid.shown[at % width], item.one.position).verdicts[item.one.position];
    if (code === 'a' || code === 'u' || code === '.') continue;
    grid.active = { at: Math.floor(at / width), column: at % width };
    focusActive();
    if (state.case) openCell(item, grid.active.column);
    return;
  }
}

const MOVES = {
  ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-15, 0], PageDown: [15, 0],
  Home: [0, -1e6], End: [0, 1e6],
};

function inGrid(event) {
  const item = grid.items[grid.active.at];
  if (MOVES[event.key]) {
    move(...MOVES[event.key]);
    event.preventDefault();
  } else if ((event.key === 'Enter' || event.key === ' ') && item && item.kind === 'case') {
    openCell(item, grid.active.column);
    event.preventDefault();
  } else if (event.key === 's' && item && item.kind === 'case') markRow(item.one);
  else if (event.key === 'c' && grid.shown[grid.active.column]) markSlot(grid.active.column);
  else if (event.key === 'f') foldActive();
}

function foldActive() {
  const slot = grid.shown[grid.active.column];
  if (slot && (slot.folded || slot.many)) go({ heads: toggled(state.heads, slot.family) });
}

function anywhere(event) {
  if (event.key === '?') byId('help').showModal();
  else if (event.key === '/') {
    if (state.page !== 'matrix') go({ page: 'matrix' });
    setTimeout(() => byId('text').focus(), state.page === 'matrix' ? 0 : 50);
  } else if ((event.key === 'n' || event.key === 'p') && state.page === 'matrix') jump(event.key === 'n' ? 1 : -1);
  else return;
  event.preventDefault();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
  const typing = event.target.matches('input:not([type=checkbox]), select, textarea');
  if (event.key === 'Escape') {
    if (state.case) closePanel();
    else if (typing) focusActive();
    return;
  }
  if (event.key === 'Enter' && event.target.id === 'text') {
    event.preventDefault();
    focusActive();
    return;
  }
  if (typing) return;
  if (pane.contains(event.target)) inGrid(event);
  if (!event.defaultPrevented) anywhere(event);
});

