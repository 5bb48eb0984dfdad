import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

const DEAD = 'mesh.dead.';

/** How many dead letters the server keeps, by subject: also those of processes that are gone. */
export async function deadLettersAt(url: string): Promise<ReadonlyMap<string, number>> {
  const connection = await connect({ servers: url });
  try {
    const counts = new Map<string, number>();
    for await (const { config, state } of (await jetstreamManager(connection)).streams.list())
      for (const subject of config.subjects ?? []) if (subject.startsWith(DEAD)) counts.set(subject, state.messages);
    return counts;
  } finally {
    await connection.close();
  }
}

/** Sabotage: a message that somebody gave up. */
export async function leaveDeadLetter(url: string): Promise<void> {
  const connection = await connect({ servers: url });
  try {
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: 'left-by-sabotage', subjects: [`${DEAD}sabotage`] });
    await manager.jetstream().publish(`${DEAD}sabotage`, 'given up');
  } finally {
    await connection.close();
  }
}
