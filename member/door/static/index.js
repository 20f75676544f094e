import { keepToken, streams } from './session.js';

for (const kind of ['whip', 'whep']) {
  document.getElementById(kind).textContent = `${location.origin}/${kind}/NAME`;
}
for (const a of document.querySelectorAll('a.card')) a.href = keepToken(a.getAttribute('href'));

const list = await streams();
if (list) {
  const n = list.length;
  document.getElementById('count').textContent = n === 0 ? 'Nothing is published yet.'
    : n === 1 ? `One is on: ${list[0].name}.` : `${n} are on.`;
}
