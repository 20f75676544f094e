import { Refusal, Session, keepToken, streams, tellCaptureTimes } from './session.js';

const $ = id => document.getElementById(id);
const only = new URLSearchParams(location.search).get('name');
const most = 12; // tiles
// What is played was captured at a time counted from 1900, by the clock of the door it
// came in at: the delay is right as far as the clocks agree.
const since1900 = 2208988800000;
const tiles = new Map();
let loud = false;

for (const a of document.querySelectorAll('nav a')) a.href = keepToken(a.getAttribute('href'));

class Tile {
  constructor(name) {
    this.name = name;
    this.root = $('tile').content.firstElementChild.cloneNode(true);
    this.video = this.root.querySelector('video');
    this.root.querySelector('strong').textContent = name;
    this.root.addEventListener('click', () => this.root.classList.toggle('large'));
    this.root.dataset.name = name;
    $('grid').append(this.root);
    this.bytes = 0;
    this.open();
  }

  veil(text) {
    const v = this.root.querySelector('.veil');
    v.textContent = text;
    v.hidden = !text;
  }

  async open() {
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.clicked = performance.now();
    this.pc = pc;
    const stream = new MediaStream();
    this.video.srcObject = stream;
    this.video.muted = !loud;
    pc.addEventListener('track', e => stream.addTrack(e.track));
    for (const kind of ['video', 'audio']) tellCaptureTimes(pc.addTransceiver(kind, { direction: 'recvonly' }));
    this.video.requestVideoFrameCallback?.(() => {
      this.first ??= performance.now() - this.clicked;
      this.veil('');
    });
    this.session = new Session(pc, '/whep/' + this.name.split('/').map(encodeURIComponent).join('/'));
    this.session.onend = () => this.again(1, 'the connection was lost');
    try {
      await this.session.start();
    } catch (e) {
      this.session.end();
      if (!(e instanceof Refusal) || e.status === 409 || e.status >= 500) this.again(e.retry || 2, e.message);
      else this.veil(e.message);
    }
  }

  again(seconds, why) {
    this.veil(why);
    this.timer = setTimeout(() => this.open(), seconds * 1000);
  }

  async figures() {
    if (!this.pc || this.pc.connectionState !== 'connected') return;
    const s = [...(await this.pc.getStats()).values()].filter(x => x.type === 'inbound-rtp');
    const v = s.find(x => x.kind === 'video');
    const bytes = s.reduce((n, x) => n + x.bytesReceived, 0);
    const rate = (bytes - this.bytes) * 8 / 1e6;
    this.bytes = bytes;
    if (!v?.framesDecoded && bytes > 0) this.veil(v?.bytesReceived ? '' : 'sound only');
    const shown = [`${rate.toFixed(1)} Mbit/s`];
    if (v?.frameHeight) shown.unshift(`${v.frameWidth}×${v.frameHeight} ${v.framesPerSecond || 0} fps`);
    const delay = Date.now() + since1900 - (v?.estimatedPlayoutTimestamp ?? 0);
    if (delay > 0 && delay < 60000) shown.push(`${delay.toFixed(0)} ms`);
    this.root.querySelector('.figures').textContent = shown.join(', ');
  }

  close() {
    clearTimeout(this.timer);
    this.session?.end();
    this.root.remove();
  }
}

// sweep opens what is new and closes what has been gone for a while; those who watch
// one name wait for it.
const missing = new Map();
async function sweep() {
  const list = only ? [{ name: only }] : await streams();
  if (!list) {
    $('state').textContent = 'the door does not answer';
    return;
  }
  for (const { name } of list) {
    missing.delete(name);
    if (!tiles.has(name) && tiles.size < most) tiles.set(name, new Tile(name));
  }
  for (const [name, tile] of tiles) {
    if (list.some(s => s.name === name)) continue;
    const n = (missing.get(name) || 0) + 1;
    missing.set(name, n);
    if (n < 5) continue;
    tile.close();
    tiles.delete(name);
    missing.delete(name);
  }
  $('grid').dataset.count = tiles.size;
  $('state').textContent = tiles.size === 0 ? 'nothing is published yet' : tiles.size < list.length ? `${tiles.size} of ${list.length}` : '';
}

$('sound').addEventListener('click', () => {
  loud = !loud;
  $('sound').textContent = loud ? 'Sound off' : 'Sound on';
  for (const t of tiles.values()) t.video.muted = !loud;
});
addEventListener('pagehide', () => { for (const t of tiles.values()) t.session?.end(); });
window.tiles = tiles;

await sweep();
setInterval(sweep, 2000);
setInterval(() => { for (const t of tiles.values()) t.figures(); }, 1000);
