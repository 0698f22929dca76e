/** A proxy on loopback that adds Basic credentials to each request. `await using` stops it. */
export interface BasicProxy extends AsyncDisposable {
  /** Its address, `host:port`. */
  address: string
}

/**
 * Starts a proxy that forwards each request to a server unchanged, including Host, and adds a name and a password by
 * Basic. It is for clients that send them only if the server asks for Basic.
 */
export function startBasicProxy(server: string, name: string, password: string): BasicProxy {
  const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
  const proxy = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const headers = new Headers(request.headers)
      if (headers.has('authorization')) return new Response('a credential of its own', { status: 400 })
      headers.set('authorization', authorization)
      const { method, body, signal } = request
      const onward: BunFetchRequestInit = {
        method,
        headers,
        body,
        signal,
        redirect: 'manual',
        decompress: false,
      }
      const response = await fetch(`http://${server}${pathname}${search}`, onward)
      // Read the whole body: Bun sends a stream without its Content-Length.
      return method === 'HEAD' ? response : new Response(await response.arrayBuffer(), response)
    },
  })
  return {
    address: `${proxy.hostname}:${proxy.port}`,
    async [Symbol.asyncDispose]() {
      await proxy.stop(true)
    },
  }
}
