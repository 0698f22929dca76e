import pino, { type Logger } from 'pino'

/** A log that prints nothing and keeps its lines as objects. */
export function openMemoryLog(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  const stream = { write: (text: string) => lines.push(JSON.parse(text)) }
  return { log: pino({ level: 'debug', base: null }, stream), lines }
}
