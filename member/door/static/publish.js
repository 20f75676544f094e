import { Session, keepToken, tellCaptureTimes } from './session.js';
import { testCard } from './card.js';

const $ = id => document.getElementById(id);
const query = new URLSearchParams(location.search);
let session, media, watcher;

$('name').value = query.get('name') || localStorage.getItem('name') || `guest-${Math.random().toString(36).slice(2, 6)}`;
for (const a of document.querySelectorAll('nav a')) a.href = keepToken(a.getAttribute('href'));
if (query.has('source')) document.querySelector(`[name=source][value="${CSS.escape(query.get('source'))}"]`)?.click();
if (query.has('codec')) $('codec').value = query.get('codec');
if (query.has('layers')) $('layers').checked = query.get('layers') !== '0';
if (!navigator.mediaDevices?.getDisplayMedia) document.querySelector('[value=screen]').disabled = true;

function say(text, kind = '') {
  $('state').textContent = text;
  $('state').className = kind;
}

// open gets the picture and the sound.
function open(source) {
  const height = Number($('size').value), video = { width: { ideal: height * 16 / 9 }, height: { ideal: height }, frameRate: { ideal: 30 } };
  if (source === 'card') return testCard(height);
  if (source === 'screen') return navigator.mediaDevices.getDisplayMedia({ video, audio: true });
  return navigator.mediaDevices.getUserMedia({ video, audio: true });
}

// scalability is the mode in which one encoding has all the layers, where the codec that
// was chosen can do that: of VP9 each picture is half as high as the next; not all browsers show
// AV1 that has more than one picture, so its layers are more pictures per second.
function scalability() {
  const mode = { VP9: 'L3T3_KEY', AV1: 'L1T3' }[$('codec').value];
  return $('layers').checked && mode ? query.get('scalability') || mode : '';
}

// encodings of the picture: with layers each is half as high as the next.
function encodings(rate) {
  if (!$('layers').checked) return [{ maxBitrate: rate }];
  if (scalability()) return [{ maxBitrate: rate, scalabilityMode: scalability() }];
  return [4, 2, 1].map((by, i) => ({ rid: 'qhf'[i], scaleResolutionDownBy: by, maxBitrate: Math.round(rate * [0.06, 0.2, 0.74][i]) }));
}

function connect(stream) {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const rate = Number($('rate').value) * 1000;
  for (const track of stream.getTracks()) {
    const video = track.kind === 'video';
    if (video) track.contentHint = document.forms.form.source.value === 'screen' ? 'detail' : 'motion';
    const t = pc.addTransceiver(track, { direction: 'sendonly', streams: [stream], sendEncodings: video ? encodings(rate) : [{}] });
    tellCaptureTimes(t);
    const want = $('codec').value, all = RTCRtpSender.getCapabilities(track.kind).codecs;
    if (video && want) {
      t.setCodecPreferences([...all.filter(c => c.mimeType === `video/${want}`), ...all.filter(c => /rtx/i.test(c.mimeType))]);
    }
    if (!video && query.get('red') === '1') { // each packet repeats the sound of the last one
      const isRed = c => c.mimeType === 'audio/red';
      t.setCodecPreferences([...all.filter(isRed), ...all.filter(c => !isRed(c))]);
    }
  }
  return pc;
}

async function begin() {
  const name = $('name').value.trim();
  localStorage.setItem('name', name);
  say('asking for the camera');
  media = await open(document.forms.form.source.value);
  $('preview').srcObject = media;
  for (const t of media.getTracks()) t.addEventListener('ended', stop);
  say('connecting');
  const pc = connect(media);
  window.pc = pc;
  const path = name.split('/').map(encodeURIComponent).join('/');
  const mode = scalability() && `&scalability=${scalability()}`;
  session = new Session(pc, `/whip/${path}?video=${$('rate').value}${mode}`);
  session.onend = () => { stop(); say('the connection was lost', 'bad'); };
  pc.addEventListener('connectionstatechange', () => {
    if (pc.connectionState === 'connected') say('on air', 'good');
    if (pc.connectionState === 'disconnected') say('interrupted', 'bad');
  });
  await session.start();
  if ($('layers').checked) session.layers(mode ? wanted => encodeUpTo(pc, scalability(), wanted) : wanted => encode(pc, wanted));
  $('link').href = keepToken(`watch.html?name=${encodeURIComponent(name)}`);
  $('link').textContent = name;
  $('share').hidden = false;
  watcher = setInterval(() => figures(pc), 1000);
}

// encode only what somebody watches.
async function encode(pc, wanted) {
  for (const sender of pc.getSenders()) {
    const p = sender.getParameters();
    if (!p.encodings?.some(e => e.rid in wanted && e.active !== wanted[e.rid])) continue;
    for (const e of p.encodings) if (e.rid in wanted) e.active = wanted[e.rid];
    await sender.setParameters(p).catch(() => {}); // the session is over
  }
}

// encodeUpTo encodes of one encoding with layers only those that somebody watches, and the
// lowest: its pictures get fewer, and their sizes stay.
async function encodeUpTo(pc, full, wanted) {
  const size = mode => Number(mode[1]);
  const most = Object.keys(wanted).filter(mode => wanted[mode]).pop() || 'L1T1';
  const mode = size(most) > 1 ? most + full.slice(4) : most;
  for (const sender of pc.getSenders()) {
    const p = sender.getParameters(), e = p.encodings?.[0];
    if (!e?.scalabilityMode || e.scalabilityMode === mode) continue;
    const smaller = 2 ** (size(full) - size(most));
    Object.assign(e, { scalabilityMode: mode, scaleResolutionDownBy: smaller, maxBitrate: Math.round(Number($('rate').value) * 1000 / smaller ** 2) });
    await sender.setParameters(p).catch(() => {}); // the session is over
  }
}

function stop() {
  clearInterval(watcher);
  session?.end();
  media?.getTracks().forEach(t => t.stop());
  session = media = undefined;
  $('preview').srcObject = null;
  $('go').textContent = 'Publish';
  $('go').className = '';
  $('share').hidden = true;
  $('figures').textContent = '\u00a0';
  say('ready');
}

let sent = 0;
async function figures(pc) {
  let bytes = 0, size = '', fps = 0, codec = '';
  const stats = await pc.getStats();
  stats.forEach(s => {
    if (s.type !== 'outbound-rtp') return;
    bytes += s.bytesSent;
    if (s.kind === 'video' && s.frameHeight && s.framesPerSecond) {
      size = `${s.frameWidth}×${s.frameHeight}`;
      fps = Math.max(fps, s.framesPerSecond);
      codec = stats.get(s.codecId)?.mimeType.slice(6) || '';
    }
  });
  $('figures').textContent = `${codec} ${size} ${fps} fps, ${((bytes - sent) * 8 / 1e6).toFixed(1)} Mbit/s`;
  sent = bytes;
}

$('form').addEventListener('submit', async e => {
  e.preventDefault();
  if (session) return stop();
  $('go').textContent = 'Stop';
  $('go').className = 'stop';
  try {
    await begin();
  } catch (err) {
    stop();
    say(err.message, 'bad');
  }
});
addEventListener('pagehide', () => session?.end());
