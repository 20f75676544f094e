import { Refusal, Session, headers, keepToken } from './session.js';
import { testCard } from './card.js';
import { draw, ground, toGround } from './ground.js';

// A walk about a space: keys and touches move the walker, the door tells who is around
// and what is of interest, and each stream of interest is a WHEP session of its own.

const $ = id => document.getElementById(id);
const query = new URLSearchParams(location.search);
const keys = new Set();
const plays = new Map(); // stream -> Play
const world = { me: null, radius: 30, around: [], streams: [], crowd: null };
const speed = 6; // metres per second
let walker, goal, published, media, loud = false;

for (const a of document.querySelectorAll('nav a')) a.href = keepToken(a.getAttribute('href'));
$('name').value = query.get('name') || `guest-${Math.random().toString(36).slice(2, 6)}`;
$('space').value = query.get('space') || 'plaza';
document.querySelector(`[name=source][value="${CSS.escape(query.get('source') || 'none')}"]`)?.click();

function say(text, kind = '') {
  $('state').textContent = text;
  $('state').className = kind;
}

async function post(url, method, body) {
  const r = await fetch(url, { method, headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify(body) });
  if (!r.ok) throw new Refusal(r.status, (await r.json().catch(() => ({}))).detail || r.statusText, 2);
  return r;
}

async function enter() {
  const name = $('name').value.trim(), space = $('space').value.trim();
  const me = { x: Number(query.get('x')) || 0, y: Number(query.get('y')) || 0, facing: 0 };
  const r = await post('/door/walkers', 'POST', { space, name, ...me });
  world.me = me;
  walker = new URL(r.headers.get('Location'), r.url).href;
  say('inside', 'good');
  $('go').textContent = 'Leave';
  $('go').className = 'stop';
  $('form').className = 'inside';
  listen();
  const source = document.forms.form.source.value;
  if (source !== 'none') await show(source, `${space}/${name}`);
}

// show publishes camera or card by WHIP under a name that the walker carries.
async function show(source, name) {
  media = source === 'card' ? await testCard(240) : await navigator.mediaDevices.getUserMedia({ video: { height: { ideal: 240 } }, audio: true });
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  for (const track of media.getTracks()) {
    const t = pc.addTransceiver(track, { direction: 'sendonly', streams: [media], sendEncodings: [track.kind === 'video' ? { maxBitrate: 400_000 } : {}] });
    if (track.kind !== 'video') continue;
    const all = RTCRtpSender.getCapabilities('video').codecs;
    t.setCodecPreferences([...all.filter(c => c.mimeType === 'video/VP8'), ...all.filter(c => /rtx/i.test(c.mimeType))]);
  }
  published = new Session(pc, `/whip/${path(name)}?video=400&audio=64`);
  await published.start();
  published.name = name;
}

const path = name => name.split('/').map(encodeURIComponent).join('/');

function leave() {
  published?.end();
  media?.getTracks().forEach(t => t.stop());
  if (walker) fetch(walker, { method: 'DELETE', headers: headers(), keepalive: true }).catch(() => {});
  walker = published = media = world.me = undefined;
  for (const p of plays.values()) p.close();
  world.around = world.streams = [];
  $('go').textContent = 'Enter';
  $('go').className = $('form').className = '';
  say('outside');
}

// listen hears who is around for as long as the walker is inside.
async function listen() {
  const mine = walker;
  while (walker === mine) {
    try {
      const r = await fetch(mine, { headers: headers({ Accept: 'text/event-stream' }) });
      if (r.status === 404) return leave();
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ''; ;) {
        const { value, done } = await reader.read();
        if (done || walker !== mine) break;
        text += value;
        const events = text.split('\n\n');
        text = events.pop();
        if (events.length > 0) heed(JSON.parse(events.at(-1).slice(6)));
      }
      await reader.cancel();
    } catch {
      await new Promise(done => setTimeout(done, 1000));
    }
  }
}

function heed(look) {
  Object.assign(world, look);
  const wanted = new Set(look.streams.filter(s => s.playable).map(s => s.stream));
  for (const s of look.streams) if (s.playable && !plays.has(s.stream)) plays.set(s.stream, new Play(s));
  for (const [id, p] of plays) if (!wanted.has(id)) p.close();
  list(look);
}

const nameOf = who => who.split('/')[1] || who.slice(0, 6);

function list({ around }) {
  $('crowd').textContent = `${around.length} around, ${around.filter(b => b.detail).length} heard`;
  $('near').replaceChildren(...around.slice(0, 12).map(b => {
    const li = document.createElement('li'), name = document.createElement('span'), how = document.createElement('span');
    name.textContent = nameOf(b.who);
    how.textContent = `${b.detail || ''} ${b.distance.toFixed(0)} m`;
    li.className = b.detail ? 'heard' : '';
    li.append(name, how);
    return li;
  }));
}

// A Play is a stream that is watched or heard.
class Play {
  constructor({ stream, kind, who }) {
    this.stream = stream;
    this.began = performance.now();
    const media = new MediaStream();
    if (kind === 'video') {
      this.root = $('tile').content.firstElementChild.cloneNode(true);
      this.root.dataset.stream = stream;
      this.element = this.root.querySelector('video');
      this.root.querySelector('strong').textContent = nameOf(who);
      this.element.requestVideoFrameCallback?.(() => {
        this.first = performance.now();
        this.root.querySelector('.veil').hidden = true;
      });
      $('tiles').append(this.root);
    } else {
      this.element = new Audio();
      this.element.autoplay = true;
      this.element.muted = !loud;
    }
    this.element.srcObject = media;
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    pc.addTransceiver(kind, { direction: 'recvonly' });
    pc.addEventListener('track', e => media.addTrack(e.track));
    this.session = new Session(pc, `/whep/${path(stream)}`);
    this.session.onend = () => this.close();
    this.session.start().catch(() => this.close()); // it comes again with the next look
  }

  close() {
    if (plays.get(this.stream) === this) plays.delete(this.stream);
    this.session.end();
    this.root?.remove();
    this.element.srcObject = null;
  }
}

// The walk itself: where the keys or the last touch lead.
const ways = { ArrowUp: [0, 1], KeyW: [0, 1], ArrowDown: [0, -1], KeyS: [0, -1], ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0] };
addEventListener('keydown', e => {
  if (!ways[e.code] || e.target.matches('input')) return;
  e.preventDefault();
  keys.add(e.code);
  goal = undefined;
});
addEventListener('keyup', e => keys.delete(e.code));
addEventListener('blur', () => keys.clear());
$('map').addEventListener('pointerdown', e => { if (world.me) goal = toGround(e.offsetX, e.offsetY); });

let stepped = performance.now(), told = 0, last = '';
function step(now) {
  const seconds = Math.min(0.1, (now - stepped) / 1000);
  stepped = now;
  const { me } = world;
  if (me) {
    let [dx, dy] = [...keys].reduce(([x, y], k) => [x + ways[k][0], y + ways[k][1]], [0, 0]);
    if (goal) {
      [dx, dy] = [goal.x - me.x, goal.y - me.y];
      if (Math.hypot(dx, dy) < 0.2) goal = undefined;
    }
    const d = Math.hypot(dx, dy);
    if (d > 0) {
      const part = Math.min(d, speed * seconds) / d;
      me.x += part * dx;
      me.y += part * dy;
      me.facing = Math.atan2(dy, dx);
    }
    tell(now);
  }
  draw($('map'), world);
}

// tell says where the walker is, ten times a second at most.
function tell(now) {
  const body = { ...world.me, carry: published?.name ? [published.name] : [] }, text = JSON.stringify(body);
  if (now - told < (text === last ? 2000 : 100)) return;
  told = now;
  last = text;
  post(walker, 'PUT', body).catch(e => { if (e.status === 404) leave(); });
}
setInterval(() => step(performance.now()), 1000 / 30);

// watchCrowd draws everybody, where the door knows them all, as in skein dev --space.
async function watchCrowd() {
  for (;;) {
    const r = await fetch('/door/plaza.json', { headers: headers() }).catch(() => null);
    if (r?.status === 204) return;
    world.crowd = r?.ok ? await r.json() : null;
    ground(world.crowd);
    await new Promise(done => setTimeout(done, 200));
  }
}
watchCrowd();

$('sound').addEventListener('click', () => {
  loud = !loud;
  $('sound').textContent = loud ? 'Sound off' : 'Sound on';
  for (const p of plays.values()) p.element.muted = !loud || Boolean(p.root);
});
$('form').addEventListener('submit', async e => {
  e.preventDefault();
  if (walker) return leave();
  try {
    await enter();
  } catch (err) {
    leave();
    say(err.message, 'bad');
  }
});
addEventListener('pagehide', leave);
Object.assign(window, { world, plays, walkTo: (x, y) => { goal = { x, y }; } });
