"""The device's own key on a token that it never leaves: PKCS#11, such as a TPM."""
