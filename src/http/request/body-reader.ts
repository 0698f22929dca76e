import { registryError } from '../../oci/error.ts'
import { freeChunk } from '../../storage/chunk.ts'

/** Requests that may wait for memory at once; further ones are refused with TOOMANYREQUESTS. */
const WAITING_MAX = 1000

/** Reads whole bodies into memory, as many together as a budget of bytes allows; the others wait their turn. */
export class BodyReader {
  private free: number
  private readonly waiting: { bytes: number; resolve: () => void }[] = []
  private readonly stallSecondsMax: number

  /**
   * @param budgetBytes what all bodies together may take, at least the largest one
   * @param stallSecondsMax a body that brings nothing for so long is given up
   */
  constructor(budgetBytes: number, stallSecondsMax: number) {
    this.free = budgetBytes
    this.stallSecondsMax = stallSecondsMax
  }

  /** Reads a body of at most `bytesMax` bytes and hands it to `use`; its memory counts until that has ended. */
  async read<T>(
    request: Request,
    bytesMax: number,
    use: (bytes: Uint8Array<ArrayBuffer>) => Promise<T>,
  ): Promise<T> {
    const declared = Number(request.headers.get('content-length') ?? bytesMax)
    if (declared > bytesMax) throw tooLarge(bytesMax)
    await this.take(declared)
    try {
      return await use(await this.collect(request, declared, bytesMax))
    } finally {
      this.give(declared)
    }
  }

  private async collect(
    request: Request,
    declared: number,
    bytesMax: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(declared)
    let length = 0
    if (request.body === null) return bytes.subarray(0, 0)
    const reader = (request.body as ReadableStream<Uint8Array>).getReader()
    let stalled = false
    const timer = setTimeout(() => {
      stalled = true
      reader.cancel().catch(() => {})
    }, this.stallSecondsMax * 1000)
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        timer.refresh()
        if (length + value.length > declared) throw tooLarge(bytesMax)
        bytes.set(value, length)
        length += value.length
        freeChunk(value)
      }
    } finally {
      clearTimeout(timer)
      reader.releaseLock()
    }
    const isShort = request.headers.has('content-length') && length < declared
    if (!stalled && !isShort) return bytes.subarray(0, length)
    throw registryError('SIZE_INVALID', `the body ended or stalled after ${length} bytes`, { status: 408 })
  }

  private async take(bytes: number): Promise<void> {
    if (this.waiting.length === 0 && bytes <= this.free) {
      this.free -= bytes
      return
    }
    if (this.waiting.length >= WAITING_MAX) {
      throw registryError('TOOMANYREQUESTS', undefined, { headers: { 'retry-after': '1' } })
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.waiting.push({ bytes, resolve })
    await promise
  }

  private give(bytes: number): void {
    this.free += bytes
    for (let next = this.waiting[0]; next !== undefined && next.bytes <= this.free; next = this.waiting[0]) {
      this.waiting.shift()
      this.free -= next.bytes
      next.resolve()
    }
  }
}

function tooLarge(bytesMax: number) {
  return registryError('SIZE_INVALID', `the body is larger than ${bytesMax} bytes`, { status: 413 })
}
