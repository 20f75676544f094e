// A test card: colour bars, a clock, something that moves, and a soft tick each
// second, so that anybody can see and hear whether all of it arrives in step.

const bars = ['#c0c0c0', '#c0c000', '#00c0c0', '#00c000', '#c000c0', '#c00000', '#0000c0'];

export function testCard(height) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(height * 16 / 9);
  canvas.height = height;
  const g = canvas.getContext('2d');
  const timer = setInterval(() => draw(g, canvas.width, height), 1000 / 30);
  draw(g, canvas.width, height);
  const stream = canvas.captureStream(30);
  const sound = tick();
  stream.addTrack(sound.track);
  const [picture] = stream.getVideoTracks();
  const stop = picture.stop.bind(picture);
  picture.stop = () => {
    clearInterval(timer);
    sound.close();
    stop();
  };
  return Promise.resolve(stream);
}

function draw(g, w, h) {
  const now = new Date();
  bars.forEach((c, i) => {
    g.fillStyle = c;
    g.fillRect(i * w / 7, 0, w / 7 + 1, h * 0.72);
  });
  g.fillStyle = '#10151d';
  g.fillRect(0, h * 0.72, w, h * 0.28);
  g.fillStyle = '#ffffff';
  g.font = `600 ${h * 0.13}px ui-monospace, monospace`;
  g.textBaseline = 'middle';
  g.fillText(now.toTimeString().slice(0, 8) + '.' + String(now.getMilliseconds()).padStart(3, '0'), w * 0.05, h * 0.86);
  const phase = now.getMilliseconds() / 1000 * 2 * Math.PI;
  g.beginPath();
  g.arc(w * 0.85, h * 0.86, h * 0.1, 0, 2 * Math.PI);
  g.strokeStyle = '#ffffff';
  g.lineWidth = h * 0.012;
  g.stroke();
  g.beginPath();
  g.moveTo(w * 0.85, h * 0.86);
  g.lineTo(w * 0.85 + Math.sin(phase) * h * 0.1, h * 0.86 - Math.cos(phase) * h * 0.1);
  g.stroke();
}

function tick() {
  const ctx = new AudioContext();
  const out = ctx.createMediaStreamDestination();
  const tone = ctx.createOscillator(), gain = ctx.createGain();
  tone.frequency.value = 880;
  gain.gain.value = 0;
  tone.connect(gain).connect(out);
  tone.start();
  const timer = setInterval(() => {
    const t = ctx.currentTime;
    gain.gain.setValueAtTime(0.08, t);
    gain.gain.exponentialRampToValueAtTime(0.0001, t + 0.08);
  }, 1000);
  return { track: out.stream.getAudioTracks()[0], close: () => { clearInterval(timer); ctx.close(); } };
}
