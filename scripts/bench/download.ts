/** A download is at most so much longer than the blob: the answer's head. */
const headBytesMax = 4096

/**
 * Downloads a blob in a process of its own that does nothing but read: bash opens the connection, dd reads it in
 * pieces of 1 MiB. Returns the milliseconds.
 * @throws Error if the answer is not as long as the blob
 */
export async function downloadOne(port: number, path: string, size: number): Promise<number> {
  const began = performance.now()
  const child = startDownload(port, path)
  const report = await child.stderr.text()
  await child.exited
  const milliseconds = performance.now() - began
  checkLength(copiedBytes(report), size, path)
  return milliseconds
}

/** Downloads a blob again and again, on so many connections, while `during` runs. */
export async function downloadDuring<Result>(
  { port, path, size, connections }: { port: number; path: string; size: number; connections: number },
  during: () => Promise<Result>,
): Promise<Result> {
  let ended = false
  const running = new Set<ReturnType<typeof startDownload>>()
  const loops = Array.from({ length: connections }, async () => {
    while (!ended) {
      const child = startDownload(port, path)
      running.add(child)
      const report = await child.stderr.text()
      await child.exited
      running.delete(child)
      if (!ended) checkLength(copiedBytes(report), size, path)
    }
  })
  try {
    return await during()
  } finally {
    ended = true
    for (const child of running) child.kill('SIGKILL')
    await Promise.all(loops)
  }
}

/** Downloads blobs all at once, in this process. Returns the milliseconds of each. */
export async function downloadMany(port: number, paths: string[], size: number): Promise<number[]> {
  return await Promise.all(paths.map((path) => download(port, path, size)))
}

function startDownload(port: number, path: string) {
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}
printf 'GET ${path} HTTP/1.1\\r\\nHost: 127.0.0.1:${port}\\r\\nConnection: close\\r\\n\\r\\n' >&3
exec dd bs=1M of=/dev/null <&3`
  const env = { PATH: process.env.PATH ?? '', LC_ALL: 'C' }
  return Bun.spawn(['bash', '-c', script], { env, stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' })
}

/** How much dd says that it has copied. */
function copiedBytes(report: string): number {
  return Number(/^(\d+) bytes/m.exec(report)?.[1] ?? 0)
}

function download(port: number, path: string, size: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const began = performance.now()
  let length = 0
  const socket = {
    open(connection: Bun.Socket) {
      connection.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`)
    },
    data(_: Bun.Socket, chunk: Buffer) {
      length += chunk.length
    },
    error(_: Bun.Socket, error: Error) {
      reject(error)
    },
    close() {
      try {
        checkLength(length, size, path)
        resolve(performance.now() - began)
      } catch (error) {
        reject(error)
      }
    },
  }
  Bun.connect({ hostname: '127.0.0.1', port, socket }).catch(reject)
  return promise
}

function checkLength(length: number, size: number, path: string): void {
  if (length < size || length > size + headBytesMax) {
    throw new Error(`GET ${path}: ${length} bytes, not ${size} and a head`)
  }
}
