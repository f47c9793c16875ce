// On paper the matrix is a plain table of words, with the filters as they stand.
const PRINT_LIMIT = 40000;

function drawPrinted() {
  const shown = shownColumns();
  const codes = new Set([...state.verdicts]);
  const all = candidates().filter((one) => {
    const own = shown.map((column) => byCode.get(column.verdicts[one.position]));
    return !codes.size || own.some((word) => word && codes.has(word.name));
  });
  const fold = state.only || all.length * shown.length > PRINT_LIMIT;
  const rows = all.filter((one) => !fold || shown.some((column) => column.verdicts[one.position] !== 'a'));
  const note = rows.length < all.length ? make('p', {}, `${plural(all.length - rows.length, 'case')} on which all agree are left out.`) : '';
  const head = make('tr', {}, make('th', {}, 'Case'), shown.map((column) => make('th', {}, `${labelOf(column)} (${column.provenance})`)));
  const lines = rows.map((one) => make('tr', {}, make('th', { scope: 'row' }, one.id), shown.map((column) => {
    const word = byCode.get(column.verdicts[one.position]);
    return make('td', {}, word ? `${word.glyph} ${word.name} ${ratioText(column.ratios[one.position])}` : 'not run');
  })));
  byId('printed').replaceChildren(note, make('table', { class_: 'plain words' }, make('thead', {}, head), make('tbody', {}, lines)));
}

addEventListener('beforeprint', drawPrinted);
addEventListener('afterprint', () => byId('printed').replaceChildren());

