// Puts the page together: pages, filters, theme, and what happens when the fragment changes.
function drawPages() {
  document.documentElement.dataset.page = state.page;
  for (const page of PAGES) byId(page).hidden = page !== state.page;
  for (const anchor of document.querySelectorAll('nav a')) {
    if (anchor.hash === `#${state.page}`) anchor.setAttribute('aria-current', 'page');
    else anchor.removeAttribute('aria-current');
  }
}

function fill(select, any, entries) {
  select.append(make('option', { value: '' }, any), ...entries.map(([value, text]) => make('option', { value }, text)));
}

function toggleButton(container, label, pressed, onclick, title) {
  const button = make('button', { type: 'button', class_: 'toggle', 'aria-pressed': String(pressed), onclick, title }, label);
  container.append(button);
  return button;
}

function prepareFilters() {
  const used = [...new Set(cases.flatMap((one) => one.clauses))];
  used.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  fill(byId('clause'), 'any', used.map((number) => [number, `${number} ${(index.clauses[number] || {}).sentence || ''}`.slice(0, 80)]));
  fill(byId('dtype'), 'any', [...new Set(cases.map((one) => one.dtype))].sort().map((name) => [name, name]));
  fill(byId('mode'), 'any', [...new Set(cases.flatMap((one) => one.mode.split(' ')))].filter(Boolean).map((name) => [name, name]));
  fill(byId('execution'), 'any', [...new Set(columns.map((one) => one.execution))].sort().map((name) => [name, name]));
  byId('mode').addEventListener('change', (event) => go({ mode: event.target.value }));
  byId('execution').addEventListener('change', (event) => go({ execution: event.target.value }));
  byId('text').addEventListener('input', (event) => go({ text: event.target.value }, true));
  byId('only').addEventListener('change', (event) => go({ only: event.target.checked }));
  byId('clause').addEventListener('change', (event) => go({ clause: event.target.value }));
  byId('dtype').addEventListener('change', (event) => go({ dtype: event.target.value }));
  byId('more').addEventListener('click', () => showMore(byId('details').hidden));
  byId('reset').addEventListener('click', () => { location.hash = '#matrix'; });
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
}

function showMore(open) {
  byId('details').hidden = !open;
  byId('more').setAttribute('aria-expanded', String(open));
}

function drawFilters(selection) {
  if (document.activeElement !== byId('text')) byId('text').value = state.text;
  byId('only').checked = state.only;
  byId('clause').value = state.clause;
  byId('dtype').value = state.dtype;
  byId('mode').value = state.mode;
  byId('execution').value = state.execution;
  const focused = document.activeElement && document.activeElement.dataset.choice;
  const chips = byId('verdicts');
  chips.replaceChildren(chips.firstElementChild);
  for (const word of words) {
    const count = selection.tallies[word.code] || 0;
    if (!count && !state.verdicts.has(word.name)) continue;
    const label = make('span', {}, chip(word), make('span', { class_: 'tally' }, ` ${count.toLocaleString('en')}`));
    toggleButton(chips, label, state.verdicts.has(word.name), () => go({ verdicts: toggled(state.verdicts, word.name) }), word.meaning).dataset.choice = word.name;
  }
  const names = byId('implementations');
  names.replaceChildren(names.firstElementChild);
  for (const column of columns) {
    toggleButton(names, labelOf(column), state.implementations.has(column.position),
      () => go({ implementations: toggled(state.implementations, column.position) }), column.id).dataset.choice = column.id;
  }
  const again = focused && [...document.querySelectorAll('[data-choice]')].find((button) => button.dataset.choice === focused);
  if (again) again.focus();
  const set = [state.clause, state.dtype, state.mode, state.execution, state.implementations.size].filter(Boolean).length;
  byId('more').textContent = set ? `Filters (${set})` : 'Filters';
  byId('shown').textContent = `${selection.rows.toLocaleString('en')} of ${plural(cases.length, 'case')}`;
  drawFinding();
  drawSelection();
}

function drawSelection() {
  const line = byId('selection');
  line.hidden = !state.rows.size && !state.marked.size;
  if (line.hidden) return;
  const told = [state.rows.size && plural(state.rows.size, 'row'), state.marked.size && plural(state.marked.size, 'column')].filter(Boolean);
  const button = (text, onclick) => make('button', { type: 'button', onclick }, text);
  const options = () => [...state.rows].map((position) => `--case '${cases[position].id}'`).join(' ');
  line.replaceChildren(`${told.join(' and ')} selected `,
    button(state.pick ? 'Show all' : 'Show only these', () => go({ pick: !state.pick })), ' ',
    ...(state.rows.size ? [button('Copy as --case options', (event) => copy(event.currentTarget, options())), ' '] : []),
    button('Clear', () => go({ rows: new Set(), marked: new Set(), pick: false })));
}

function drawFinding() {
  const line = byId('finding');
  const finding = index.findings[state.finding];
  line.hidden = !state.finding;
  line.replaceChildren(...(finding
    ? ['Only the finding: ', chip(words.find((word) => word.name === finding.verdict)), ' ', make('strong', {}, finding.quantities.join(', ')), finding.cause ? `: ${finding.cause}` : '']
    : ['This report has no such finding.']), ' ', make('button', { type: 'button', onclick: () => go({ finding: '' }) }, 'Show all'));
}

// What the address names within a page.
function targetOf() {
  const name = location.hash.slice(1).split('?')[0];
  return PAGES.includes(name) ? null : name && document.getElementById(name);
}

function scrollToTarget() {
  const target = targetOf();
  if (target) target.scrollIntoView();
  else scrollTo(0, 0);
}

function draw() {
  const before = drawnState;
  state = readState();
  drawnState = state;
  drawPages();
  if (state.page !== before.page || targetOf()) scrollToTarget();
  if (state.page !== 'matrix') { panel.hidden = true; return; }
  const inside = pane.contains(document.activeElement) || panel.contains(document.activeElement);
  const selection = select();
  drawFilters(selection);
  drawMatrix(selection);
  drawPanel().then(() => {
    if (state.case && state.case + state.impl !== before.case + before.impl && matchMedia('(max-width: 60rem)').matches) byId('panel-title').focus();
  });
  if (inside || (before.case && !state.case)) focusActive();
}

// A link to a cell makes that cell the active one.
function aimAtOpened() {
  if (!state.case) return;
  const at = grid.items.findIndex((item) => item.kind === 'case' && item.one.id === state.case);
  const place = shownSlots().findIndex((slot) => slot.members.some((column) => column.id === state.impl));
  if (at >= 0) grid.active.at = at;
  if (place >= 0) grid.active.column = place;
}

function prepareTheme() {
  const root = document.documentElement;
  const remember = (value) => { try { localStorage.setItem('conformance-theme', value); } catch { /* a page may not store */ } };
  try { root.dataset.theme = localStorage.getItem('conformance-theme') || ''; } catch { root.dataset.theme = ''; }
  byId('theme-button').addEventListener('click', () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    remember(root.dataset.theme);
  });
  byId('help-button').addEventListener('click', () => byId('help').showModal());
}

document.documentElement.classList.add('live');
byId('app').hidden = false;
document.querySelector('.tools').hidden = false;
prepareTheme();
prepareFilters();
addEventListener('hashchange', draw);
draw();
// A page's name is an anchor too, for readers without scripts; with them a page starts at its top.
addEventListener('load', () => requestAnimationFrame(scrollToTarget));
