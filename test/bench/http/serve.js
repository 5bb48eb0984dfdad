/**
 * Serves `app` for a benchmark, in a process of its own so that its CPU time is only its own: sends { port } when it
 * listens, and { cpuUs } whenever it is asked.
 */
export async function serve(app) {
  await app.listen(0, '127.0.0.1');
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send({ cpuUs: user + system });
  });
  process.on('disconnect', () => process.exit(0));
  process.send({ port: Number(new URL(await app.getUrl()).port) });
}
