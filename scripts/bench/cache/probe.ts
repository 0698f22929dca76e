import type { Peer } from '../../lib/peers.ts'
import { Connection } from '../lib/connection.ts'

/** Sends a small request again and again while something runs, and returns how many milliseconds each took. */
export async function probing<T>(
  peer: Peer,
  { path, pauseMs }: { path: string; pauseMs: number },
  work: () => Promise<T>,
): Promise<{ result: T; latencies: number[] }> {
  const latencies: number[] = []
  const connection = await Connection.open(peer.port)
  const state = { over: false }
  const probes = (async () => {
    while (!state.over) {
      const began = performance.now()
      await connection.expect(200, 'GET', path)
      latencies.push(performance.now() - began)
      await Bun.sleep(pauseMs)
    }
  })()
  try {
    return { result: await work(), latencies }
  } finally {
    state.over = true
    await probes
    connection.close()
  }
}
