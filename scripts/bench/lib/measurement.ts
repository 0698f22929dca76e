import type { Peer } from '../../lib/peers.ts'
import { median } from '../../lib/percentiles.ts'

/** What one measurement of one contestant says. Times are in milliseconds. */
export interface Measurement {
  /** In the unit of its case, or in its own. */
  value: number
  unit?: string
  p50?: number
  p99?: number
  cpuSeconds?: number
  rssBytes?: number
  /** What else was seen meanwhile. */
  note?: string
}

/** A contestant's line in the table of a case. */
export interface Row extends Measurement {
  name: string
}

export interface Contestant {
  name: string
  measure(round: number): Promise<Measurement>
}

/** Measures contestants one after another, so many rounds, each round begun by another one, and returns the medians. */
export async function inTurns(contestants: Contestant[], rounds: number): Promise<Row[]> {
  const measured = contestants.map(({ name }) => ({ name, measurements: [] as Measurement[] }))
  for (let round = 0; round < rounds; round++) {
    for (const i of contestants.keys()) {
      const at = (i + round) % contestants.length
      measured[at]!.measurements.push(await contestants[at]!.measure(round))
    }
  }
  return measured.map(({ name, measurements }) => ({ name, ...medians(measurements) }))
}

/** Measures something that a server does, with the processor time that it took there and the memory it has then. */
export async function observe(
  peer: Pick<Peer, 'usage'>,
  work: () => Promise<Measurement>,
): Promise<Measurement> {
  const before = peer.usage()
  const measurement = await work()
  const after = peer.usage()
  return { ...measurement, cpuSeconds: after.cpuSeconds - before.cpuSeconds, rssBytes: after.rssBytes }
}

function medians(measurements: Measurement[]): Measurement {
  const of = (field: 'value' | 'p50' | 'p99' | 'cpuSeconds' | 'rssBytes') => {
    const values = measurements
      .map((measurement) => measurement[field])
      .filter((value) => value !== undefined)
    return values.length > 0 ? { [field]: median(values) } : {}
  }
  const { note, unit } = measurements.at(-1) ?? {}
  return {
    value: Number.NaN,
    ...(unit !== undefined && { unit }),
    ...of('value'),
    ...of('p50'),
    ...of('p99'),
    ...of('cpuSeconds'),
    ...of('rssBytes'),
    ...(note !== undefined && { note }),
  }
}
