/* Two Rust static libraries in one program. */
#include <sandport.h>
#include <stdint.h>
#include <stdio.h>

int32_t beside_add(int32_t one, int32_t two);

int main(void) {
    if (beside_add(2, 3) != 5 || sandport_abi_version() < 1)
        return 1;
    printf("sandport %s stands beside another\n", sandport_version());
    return 0;
}
