import type { Config } from '../config-schema.ts'

const SECONDS_MAX = 5

/** Asks /readyz of the server. Answers 0 when it can serve, else 1, and says why. */
export async function askHealth({ listen }: Config, url: string | undefined): Promise<number> {
  const base = url ?? `http://${listen[0]}`
  try {
    const response = await fetch(new URL('/readyz', base), {
      signal: AbortSignal.timeout(SECONDS_MAX * 1000),
    })
    const { status } = (await response.json()) as { status: string }
    process.stdout.write(`${status}\n`)
    return response.ok ? 0 : 1
  } catch (error) {
    process.stderr.write(`cay: ${base} does not answer: ${(error as Error).message}\n`)
    return 1
  }
}
