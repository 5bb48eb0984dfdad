import { expect, it } from 'vitest';
import { MeshEvents } from '../core/mesh.events.js';
import { OpsListener } from './ops.listener.js';

function listener() {
  const events = new MeshEvents();
  let url = '';
  events.on('ops.listening', ({ host, port }) => (url = `http://${host}:${port}`));
  const own = new OpsListener({ port: 0, host: '127.0.0.1' }, events, (_request, response) => response.end('here'));
  return { own, url: () => url };
}

it('listens between start and stop', async () => {
  const { own, url } = listener();
  await own.start({ signal: new AbortController().signal });
  expect(await (await fetch(url())).text()).toBe('here');
  await own.stop();
  await expect(fetch(url())).rejects.toThrow('fetch failed');
});

it('stops though a client holds its connection', async () => {
  const events = new MeshEvents();
  let port = 0;
  events.on('ops.listening', (listening) => (port = listening.port));
  const own = new OpsListener(
    { port: 0, host: '127.0.0.1' },
    events,
    (_request, response) => void response.write('and'),
  );
  await own.start({ signal: new AbortController().signal });
  const { body } = await fetch(`http://127.0.0.1:${port}`);
  await own.stop();
  await expect(body!.getReader().closed).rejects.toThrow('terminated');
});

it('does not stay when its start is called off', async () => {
  const { own, url } = listener();
  await expect(own.start({ signal: AbortSignal.abort(new Error('called off')) })).rejects.toThrow('called off');
  expect(url()).toBe('');
  await own.stop();
});
