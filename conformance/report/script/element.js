// Elements are made from text only: nothing from a results file is ever read as HTML.
function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key === 'class_' ? 'class' : key, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ''));
  return node;
}

function chip(word) {
  return make('span', { class_: `verdict ${word.name}`, title: word.meaning },
    make('span', { class_: 'glyph', 'aria-hidden': 'true' }, word.glyph), ` ${word.name}`);
}

function badge(column) {
  return column.provenance === 'executed' ? '' : make('span', { class_: `provenance ${column.provenance}` }, column.provenance);
}

// A link out of the page, only to the web: any other address stays text.
function outside(address, text) {
  return /^https?:\/\/[^\s"'<>\\]+$/.test(address) ? make('a', { href: address, rel: 'noopener noreferrer', title: address }, text) : make('code', {}, address);
}

function drawn(name, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key === 'class_' ? 'class' : key, String(value));
  node.append(...children.flat());
  return node;
}

const byId = (id) => document.getElementById(id);

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make('textarea', { class_: 'offscreen' });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = label; }, 1500);
}

