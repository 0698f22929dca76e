/** Reports whether a text is a name or an address, with or without a port, as a Host header has it (RFC 9110, 7.2). */
export function isHost(text: string): boolean {
  // A number too large for an address, or a port above 65535, matches the pattern, but makes no URL.
  return text.length <= 300 && HOST.test(text) && URL.canParse(`http://${text}/`)
}

const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/
