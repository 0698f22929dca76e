import { Connection } from './connection.ts'

/**
 * The pause between two pulls. Without one, the pulls themselves would keep two cores busy, and cause so much garbage
 * collection that they would wait more than 10 ms without any other work.
 */
const pauseMilliseconds = 1

/** How long pulls are measured with nothing beside them. */
const floorMilliseconds = 2000

export interface Waits<T> {
  /** What the act returned. */
  result: T
  /** How long the act took. */
  milliseconds: number
  /** The longest wait for an answer meanwhile, in milliseconds. */
  wait: number
}

/** Pulls again and again on one connection until the act is done. */
export async function waitsBeside<T>(port: number, path: string, act: () => Promise<T>): Promise<Waits<T>> {
  const connection = await Connection.open(port)
  const state = { isDone: false, wait: 0 }
  const pull = async () => {
    const began = performance.now()
    await connection.expect(200, 'GET', path)
    state.wait = Math.max(state.wait, performance.now() - began)
  }
  const pulling = (async () => {
    while (!state.isDone) {
      await pull()
      await Bun.sleep(pauseMilliseconds)
    }
  })()
  // A failure is thrown below, when the act is done.
  pulling.catch(() => {})
  try {
    const began = performance.now()
    const result = await act()
    const milliseconds = performance.now() - began
    state.isDone = true
    await pulling
    return { result, milliseconds, wait: state.wait }
  } finally {
    state.isDone = true
    connection.close()
  }
}

/** Returns the longest wait of the same pulls with nothing beside them, in milliseconds. */
export async function waitsAlone(port: number, path: string): Promise<number> {
  return (await waitsBeside(port, path, () => Bun.sleep(floorMilliseconds))).wait
}
