/** Headers for pushed content, so that a browser never renders or runs it, whatever its type. */
export const INERT = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
} as const
