/* Encodes one block with isa-l: arguments k, r, symbol bytes; source on standard input, repair on standard output. */
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int k = atoi(argv[1]), r = atoi(argv[2]), symbol_bytes = atoi(argv[3]);
  unsigned char *matrix = malloc((size_t)(k + r) * k), *tables = malloc((size_t)32 * k * r);
  unsigned char *block = malloc((size_t)(k + r) * symbol_bytes);
  unsigned char *symbols[256];
  for (int i = 0; i < k + r; i++) symbols[i] = block + (size_t)i * symbol_bytes;
  if (fread(block, symbol_bytes, k, stdin) != (size_t)k) return 1;
  gf_gen_cauchy1_matrix(matrix, k + r, k);
  ec_init_tables(k, r, matrix + k * k, tables);
  ec_encode_data(symbol_bytes, k, r, tables, symbols, symbols + k);
  return fwrite(symbols[k], symbol_bytes, r, stdout) == (size_t)r ? 0 : 1;
}
