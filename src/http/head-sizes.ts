/**
 * Restores the Content-Length of responses to HEAD. Elysia replaces it by the number of bytes that it reads of the body,
 * which is 0 for a handler that knows the size and sends no body.
 */
export class HeadSizes {
  private readonly sizes = new WeakMap<Request, string>()

  /** Notes the Content-Length that a handler has set. */
  note(request: Request, response: Response): Response {
    const size = response.headers.get('content-length')
    if (request.method === 'HEAD' && size !== null) this.sizes.set(request, size)
    return response
  }

  /** Restores the recorded Content-Length once Elysia has created the response. */
  restore(request: Request, response: Response): Response {
    const size = this.sizes.get(request)
    if (size !== undefined) response.headers.set('content-length', size)
    return response
  }
}
