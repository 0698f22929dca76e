import { Elysia, t } from 'elysia'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    /** Whether the disk has free space for pushes. */
    reserve: Pick<DiskReserve, 'problem' | 'falls' | 'check' | 'bytesMin'>
  }
}

export interface DiskReserveOptions {
  /** The folders that must have space: the data folder, and that of the database. */
  folders: readonly string[]
  /** Returns the free bytes of the volume of a folder. */
  freeBytes: (folder: string) => Promise<number>
  /** How many bytes must be free; 0 turns the check off. */
  bytesMin: number
  log: Logger
}

/** Opens the check of the volumes of a data folder and its database. */
export function openReserve(
  { data, metadata = data, disk }: Config,
  log: Logger,
  diskSpace: (folder: string) => Promise<{ freeBytes: number }>,
): DiskReserve {
  const freeBytes = async (folder: string) => (await diskSpace(folder)).freeBytes
  return new DiskReserve({ folders: [data, metadata], freeBytes, bytesMin: disk.freeBytesMin, log })
}

/** Watches whether the volumes of the data folder have free space for pushes. */
export class DiskReserve {
  private readonly options: DiskReserveOptions
  /** How many bytes must be free. */
  readonly bytesMin: number
  private low: string | undefined
  /** How often the free space has fallen below the reserve. */
  falls = 0

  constructor(options: DiskReserveOptions) {
    this.options = options
    this.bytesMin = options.bytesMin
  }

  /** Returns what is wrong, in one sentence; undefined if there is enough free space. */
  problem(): string | undefined {
    return this.low
  }

  /** Measures the free space. Logs when it falls below the reserve, and when it is back. */
  async check(): Promise<void> {
    const { folders, freeBytes, bytesMin, log } = this.options
    const measured = await Promise.all(
      folders.map(async (folder) => ({ folder, bytes: await freeBytes(folder) })),
    )
    const least = measured.toSorted((a, b) => a.bytes - b.bytes)[0]
    const isLow = least !== undefined && least.bytes < bytesMin
    if (isLow && this.low === undefined) {
      this.falls++
      log.warn(
        { folder: least.folder, freeBytes: least.bytes, freeBytesMin: bytesMin },
        'the disk is almost full, so pushes may fail: free some space, for example with cay gc, or add some',
      )
    }
    if (!isLow && this.low !== undefined)
      log.info({ freeBytes: least?.bytes }, 'the disk has free space again')
    this.low = isLow
      ? `the disk is almost full: ${least.bytes} bytes are free, less than disk.free-bytes-min`
      : undefined
  }
}

const answer = (description: string) =>
  t.Object({ status: t.String({ description: '`ok`, or what is wrong' }) }, { description })

/** GET /livez and /readyz. Neither needs a credential. */
export function health(problem: () => string | undefined) {
  return new Elysia({ name: 'health', tags: ['health'] })
    .get('/livez', () => ({ status: 'ok' }), {
      response: { 200: answer('The process is running.') },
      detail: { summary: 'Check that the process is running', operationId: 'getLiveness', security: [{}] },
    })
    .get(
      '/readyz',
      ({ status }) => {
        const found = problem()
        return found === undefined ? { status: 'ok' } : status(503, { status: found })
      },
      {
        response: {
          200: answer('The server is ready.'),
          503: answer('The server is not ready; the status says why.'),
        },
        detail: { summary: 'Check that the server is ready', operationId: 'getReadiness', security: [{}] },
      },
    )
}
