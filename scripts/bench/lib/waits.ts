import { whileRepeating } from '../../lib/repeated.ts'
import { Connection } from './connection.ts'

/**
 * The pause between two pulls. Without one, the pulls themselves would keep two cores busy, and cause so much garbage
 * collection that they would wait more than 10 ms without any other work.
 */
const pauseMs = 1

/** How long pulls are measured with nothing beside them. */
const floorMilliseconds = 2000

/** Sends a small request again and again on one connection until the act is done. All times are in milliseconds. */
export async function probing<T>(
  port: number,
  { path, pauseMs }: { path: string; pauseMs: number },
  act: () => Promise<T>,
): Promise<{ result: T; milliseconds: number; latencies: number[] }> {
  const connection = await Connection.open(port)
  const latencies: number[] = []
  const probe = async () => {
    const began = performance.now()
    await connection.expect(200, 'GET', path)
    latencies.push(performance.now() - began)
    await Bun.sleep(pauseMs)
  }
  const timed = async () => {
    const began = performance.now()
    const result = await act()
    return { result, milliseconds: performance.now() - began }
  }
  try {
    return { ...(await whileRepeating(probe, timed)), latencies }
  } finally {
    connection.close()
  }
}

/** Pulls again and again until the act is done, and returns also the longest wait for an answer. */
export async function waitsBeside<T>(port: number, path: string, act: () => Promise<T>) {
  const { latencies, ...done } = await probing(port, { path, pauseMs }, act)
  return { ...done, wait: Math.max(...latencies) }
}

/** Returns the longest wait of the same pulls with nothing beside them, in milliseconds. */
export async function waitsAlone(port: number, path: string): Promise<number> {
  return (await waitsBeside(port, path, () => Bun.sleep(floorMilliseconds))).wait
}
