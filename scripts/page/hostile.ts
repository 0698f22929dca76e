/** The password of every account that the checks of the page use. */
export const password = 'correct-horse-battery'

/** Text that tries to be markup, a script, a link and something else than it is. */
export const hostile = {
  html: '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>',
  link: 'javascript:document.title="owned"',
  reversed: 'safe\u202egpj.exe',
}
