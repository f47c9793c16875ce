// The state of the page lives in the URL fragment: `#page?key=value`, so that links and the back button work.
const PAGES = ['overview', 'matrix', 'dialects', 'deviations', 'open', 'scenarios', 'conversions', 'bounds', 'compare', 'absent', 'reading'];

// An address may name a heading or a finding: its page is shown, and it is scrolled to.
function pageAround(name) {
  const target = name && document.getElementById(name);
  const section = target && target.closest('section.page');
  return section ? section.id : 'overview';
}

function readState() {
  const [page, query] = [location.hash.slice(1).split('?')[0], location.hash.split('?').slice(1).join('?')];
  const given = new URLSearchParams(query);
  const list = (key) => (given.get(key) || '').split('~').filter(Boolean);
  return {
    page: PAGES.includes(page) ? page : pageAround(page),
    verdicts: new Set(list('v')),
    implementations: new Set(list('i').map(Number).filter((position) => columns[position])),
    clause: given.get('clause') || '',
    dtype: given.get('dtype') || '',
    mode: given.get('mode') || '',
    execution: given.get('execution') || '',
    heads: new Set(list('heads')),
    rows: new Set(list('rows').map(Number).filter((position) => cases[position])),
    marked: new Set(list('columns').map(Number).filter((position) => columns[position])),
    pick: given.get('pick') === '1',
    text: given.get('q') || '',
    only: given.get('only') === '1',
    finding: given.get('finding') || '',
    shut: new Set(list('shut')),
    unfolded: new Set(list('all')),
    case: given.get('case') || '',
    impl: given.get('impl') || '',
  };
}

function writeState(state) {
  const given = new URLSearchParams();
  const put = (key, value) => { if (value) given.set(key, value); };
  put('v', [...state.verdicts].join('~'));
  put('i', [...state.implementations].join('~'));
  put('clause', state.clause);
  put('dtype', state.dtype);
  put('mode', state.mode);
  put('execution', state.execution);
  put('heads', [...state.heads].join('~'));
  put('rows', [...state.rows].join('~'));
  put('columns', [...state.marked].join('~'));
  put('pick', state.pick ? '1' : '');
  put('q', state.text);
  put('only', state.only ? '1' : '');
  put('finding', state.finding);
  put('shut', [...state.shut].join('~'));
  put('all', [...state.unfolded].join('~'));
  put('case', state.case);
  put('impl', state.impl);
  const query = given.toString();
  return `#${state.page}${query ? `?${query}` : ''}`;
}

let state = readState();
let drawnState = state;

// Goes to the present state with some changes; `replace` keeps the history as it is.
function go(changes, replace = false) {
  // At once, so that a second key that comes before the page is drawn again adds to the first.
  state = { ...state, ...changes };
  const target = writeState(state);
  if (target === location.hash) return;
  if (replace) location.replace(target);
  else location.hash = target;
}

const toggled = (set, value) => {
  const copy = new Set(set);
  if (!copy.delete(value)) copy.add(value);
  return copy;
};

