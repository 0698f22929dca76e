import { join } from 'node:path'

/** Returns the path of the socket on which commands reach the server of a data folder. */
export function socketPath(data: string): string {
  return join(data, 'cay.sock')
}
